"""Compile the graph engine's loop before a job needs it: python -m ticks.engines.graph [--leash].

With --leash, standard input is a socket; when its other end closes, this process and the compiler
are killed. Exit code 1, with the reason, where the loop cannot be compiled.
"""

import argparse
import os
import select
import signal
import sys
import threading

from ticks.engines.graph import build_loop
from ticks.engines.object_cache import EngineUnavailable


def main() -> int:
    """Find or compile the loop, and print the path of its object."""
    parser = argparse.ArgumentParser(prog="python -m ticks.engines.graph", allow_abbrev=False)
    parser.add_argument(
        "--leash", action="store_true", help="end when standard input's peer closes"
    )
    if parser.parse_args().leash:
        threading.Thread(target=_exit_when_peer_gone, daemon=True).start()
    try:
        print(build_loop.find_or_compile())
    except EngineUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _exit_when_peer_gone() -> None:
    poll = select.poll()
    poll.register(0, select.POLLRDHUP)
    while not any(event for _, event in poll.poll()):
        pass
    os.killpg(0, signal.SIGKILL)  # with --leash this process was started in its own session


if __name__ == "__main__":
    sys.exit(main())
