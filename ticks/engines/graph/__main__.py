"""Compiles the loop ahead of the first job that needs it: python -m ticks.engines.graph [--leash].

With --leash, standard input is a socket: when its other end is gone, this process and the compiler
end. Exit code 1, with the reason, where there is no loop to be had.
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
    """Find or compile; print the object's file."""
    parser = argparse.ArgumentParser(prog="python -m ticks.engines.graph", allow_abbrev=False)
    parser.add_argument("--leash", action="store_true", help="end with who holds standard input")
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
    os.killpg(0, signal.SIGKILL)  # its own group: who leashes it starts a session for it


if __name__ == "__main__":
    sys.exit(main())
