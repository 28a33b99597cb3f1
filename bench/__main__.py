"""`python -m bench [NAME …] [--rounds N] [--quick]`: measure, print tables, write JSON.

Without a name: what docs/performance.md shows. `--quick`: few rounds and small sizes, a first look.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import (
    access,
    checkpoint,
    engines,
    first_tick,
    flood,
    growth,
    lists,
    native,
    recording,
    recovery,
    small_jobs,
    streams,
    text_memory,
    whole,
)
from bench.report import Figure, machine, show

Measure = Callable[[int], list[Figure]]


@dataclass(frozen=True)
class Bench:
    """One measurement: what it is, how, and in how many rounds when nothing is said."""

    title: str
    measure: Measure
    rounds: int
    quick: Measure | None = None  # where fewer rounds alone would not be quick
    quick_rounds: int = 2
    on_page: bool = True  # whether docs/performance.md shows it


BENCHES = {
    "service": Bench("Service: against the loop, over HTTP", whole.measure, 3, whole.measure_quick),
    "engines": Bench("Engines: against the loop, in one process", engines.measure, 5),
    "native": Bench("Native: the seed's net, processor time", native.measure, 7),
    "recording": Bench(
        "Recording: every tick, against none", recording.measure, 7, recording.measure_quick, 1
    ),
    "first_tick": Bench("First tick: one small job, warm worker", first_tick.measure, 20, None, 5),
    "flood": Bench("Flood: reads while a native job writes", flood.measure, 8),
    "checkpoint": Bench("Checkpoint: 300 MB, aside and at once", checkpoint.measure, 7, None, 3),
    "small_jobs": Bench(
        "Small jobs: many, on one worker", small_jobs.measure, 1, small_jobs.measure_quick, 1
    ),
    "growth": Bench("Growth: ticks, jobs, parameters", growth.measure, 2, growth.measure_quick),
    "lists": Bench("Lists: among 1,000 and 100,000 jobs", lists.measure, 30, on_page=False),
    "access": Bench("Access: what a key costs", access.measure, 2000, on_page=False),
    "streams": Bench("Streams: requests while 300 are open", streams.measure, 3, on_page=False),
    "recovery": Bench("Recovery: kills and a drain", recovery.measure, 10, on_page=False),
    "text_memory": Bench("Text: 2 GB against 2 MB", text_memory.measure, 1, on_page=False),
}


def main(argv: Sequence[str]) -> int:
    """Run the named benches, or those of the page."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--rounds", type=int, help="rounds of each")
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes")
    asked = parser.parse_args(argv)
    if unknown := [name for name in asked.names if name not in BENCHES]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    began = time.perf_counter()
    for name in asked.names or [name for name, bench in BENCHES.items() if bench.on_page]:
        bench = BENCHES[name]
        measure = bench.quick or bench.measure if asked.quick else bench.measure
        rounds = asked.rounds or (bench.quick_rounds if asked.quick else bench.rounds)
        about = machine() | ({"form": "quick"} if asked.quick else {})
        show(name, bench.title, about, measure(rounds))
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
