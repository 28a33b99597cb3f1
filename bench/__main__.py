"""`python -m bench [NAME …] [--rounds N]`: measure, print tables, write bench/results/*.json."""

import argparse
import sys
from collections.abc import Callable, Sequence

from bench import (
    access,
    article,
    engines,
    first_tick,
    lists,
    native,
    recovery,
    streams,
    text_memory,
)
from bench.report import Figure, machine, show

#: name -> title, what measures it, rounds when nothing is said
BENCHES: dict[str, tuple[str, Callable[[int], list[Figure]], int]] = {
    "first_tick": ("First tick: one small job on a warm worker", first_tick.measure, 20),
    "article": ("Article: 10,000 ticks of the seed net, LayerNorm", article.measure, 5),
    "engines": ("Engines: against the hand-written loop, in one process", engines.measure, 7),
    "native": ("Native: the seed's net, in one process", native.measure, 7),
    "text_memory": ("Text: memory of 2 GB against 2 MB", text_memory.measure, 1),
    "lists": ("Lists: pages among 1,000 and 100,000 jobs", lists.measure, 30),
    "access": ("Access: what a key costs each request", access.measure, 2000),
    "streams": ("Streams: requests while 300 are open", streams.measure, 3),
    "recovery": ("Recovery: kills and a drain while a job trains", recovery.measure, 10),
}


def main(argv: Sequence[str]) -> int:
    """Run the named benches, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--rounds", type=int, help="rounds of each")
    asked = parser.parse_args(argv)
    if unknown := [name for name in asked.names if name not in BENCHES]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    for name in asked.names or BENCHES:
        title, measure, rounds = BENCHES[name]
        about = machine()
        show(title, about, measure(asked.rounds or rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
