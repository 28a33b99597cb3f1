"""`python -m bench [NAME …] [--rounds N] [--quick]`: measure, print tables, write JSON.

Without a name: what docs/performance.md shows. `--quick`: few rounds and small sizes, a first look.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import (
    access,
    builds,
    chains,
    checkpoint,
    engine_choice,
    engines,
    first_tick,
    gpu,
    growth,
    held_connections,
    lists,
    native,
    pictures,
    plan_seconds,
    predict,
    processes,
    reads_under_load,
    recording,
    recovery,
    service_vs_loop,
    small_jobs,
    streams,
    text_memory,
    trackers,
    upload,
    webhooks,
)
from bench.report import Figure, describe_machine, show


@dataclass(frozen=True)
class Benchmark:
    """One measurement: its title, its function, and its rounds by default."""

    title: str
    measure: Callable[..., list[Figure]]
    rounds: int
    quick_sizes: Mapping[str, int] | None = None  # where fewer rounds alone would not be quick
    quick_rounds: int = 2
    on_page: bool = True  # whether docs/performance.md shows it


BENCHMARKS = {
    "service": Benchmark(
        "Service: against the loop, over HTTP", service_vs_loop.measure, 3, {"long": 1_000_000}
    ),
    "builds": Benchmark(
        "Whole jobs: this build beside another", builds.measure, 7, {"jobs": 60}, on_page=False
    ),
    "engines": Benchmark("Engines: against the loop, in one process", engines.measure, 5),
    "engine_choice": Benchmark(
        "Choice of eager or graph: the rule against rates",
        engine_choice.measure,
        5,
        {"shapes": 3},
        1,
        on_page=False,
    ),
    "chains": Benchmark("Chains of graph: with and without, processor time", chains.measure, 9),
    "native": Benchmark("Native: the seed's net, processor time", native.measure, 7),
    "recording": Benchmark(
        "Recording: every tick, against none", recording.measure, 7, {"share": 2}, 1
    ),
    "first_tick": Benchmark(
        "First tick: one small job, warm worker", first_tick.measure, 20, quick_rounds=5
    ),
    "flood": Benchmark("Flood: reads while a native job writes", reads_under_load.measure, 8),
    "checkpoint": Benchmark(
        "Checkpoint: 300 MB, aside and at once", checkpoint.measure, 7, quick_rounds=3
    ),
    "small_jobs": Benchmark(
        "Small jobs: many, on one worker", small_jobs.measure, 1, {"jobs": 50}, 1
    ),
    "growth": Benchmark("Growth: ticks, jobs, parameters", growth.measure, 2, {"skipped_sizes": 2}),
    "lists": Benchmark("Lists: among 1,000 and 100,000 jobs", lists.measure, 30, on_page=False),
    "access": Benchmark("Access: what a key costs", access.measure, 2000, on_page=False),
    "streams": Benchmark("Streams: requests while 300 are open", streams.measure, 3, on_page=False),
    "held": Benchmark(
        "Held connections: status reads beside 2,000", held_connections.measure, 3, on_page=False
    ),
    "predict": Benchmark(
        "Predicts: beside a training of one thread", predict.measure, 6, {"predicts": 25}, 2
    ),
    "predicts_left": Benchmark(
        "Predicts: what 10,000 leave",
        predict.measure_leftovers,
        1,
        {"predicts": 500},
        1,
        on_page=False,
    ),
    "pictures": Benchmark(
        "Pictures: of 10^6 and 10^8 ticks",
        pictures.measure,
        1,
        {"largest": 10**6},
        1,
        on_page=False,
    ),
    "plan_seconds": Benchmark(
        "Plans: the seconds that they expect",
        plan_seconds.measure,
        2,
        {"variants": 1},
        1,
        on_page=False,
    ),
    "trackers": Benchmark(
        "Trackers: exports of 10^6 ticks", trackers.measure, 3, {"ticks": 10**5}, 1, on_page=False
    ),
    "recovery": Benchmark("Recovery: kills and a drain", recovery.measure, 10, on_page=False),
    "upload": Benchmark(
        "Upload: profiles of tables", upload.measure, 3, {"rows": 100_000}, 1, on_page=False
    ),
    "processes": Benchmark(
        "Processes: memory, start, stop, restart", processes.measure, 5, on_page=False
    ),
    "gpu": Benchmark("GPU: eager beside the CPU", gpu.measure, 5, on_page=False),
    "webhooks": Benchmark(
        "Webhooks: status reads beside 100 calls a second",
        webhooks.measure,
        3,
        {"seconds": 5},
        1,
        on_page=False,
    ),
    "text_memory": Benchmark("Text: 2 GB against 2 MB", text_memory.measure, 1, on_page=False),
}


def main(argv: Sequence[str]) -> int:
    """Run the named measurements, or those of the page."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, help="rounds of each")
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    started = time.perf_counter()
    names = options.names or [name for name, benchmark in BENCHMARKS.items() if benchmark.on_page]
    for name in names:
        benchmark = BENCHMARKS[name]
        sizes = (benchmark.quick_sizes or {}) if options.quick else {}
        rounds = options.rounds or (benchmark.quick_rounds if options.quick else benchmark.rounds)
        environment = describe_machine() | ({"form": "quick"} if options.quick else {})
        show(name, benchmark.title, environment, benchmark.measure(rounds, **sizes))
    print(f"\n{time.perf_counter() - started:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
