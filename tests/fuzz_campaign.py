"""Send damaged files by number to a target, and report what came of them.

A file is a function of seed and number, so that one number repeats it.
"""

import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.datasets import CSV, FORM, JSONL, NPZ, PARQUET, TEXT, TSV
from tests.fuzz_files import BOUNDARY, damage, good_files, wrap_form, wrap_gzip
from tests.fuzz_uploads import FuzzedUpload

MAX_FILE_SECONDS = 20  # of the processor
SUFFIXES = {CSV: "csv", TSV: "tsv", JSONL: "jsonl", TEXT: "txt", NPZ: "npz", PARQUET: "parquet"}
Take = Callable[[FuzzedUpload], str]


class Hang(Exception):
    """A file took more than MAX_FILE_SECONDS."""


@dataclass
class FuzzReport:
    """What came of some damaged files: outcomes by format, faults by number, and costs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    seconds: tuple[float, str] = (0.0, "")
    memory: int = 0  # bytes by which the process has grown


def run_fuzz(
    seed: int, numbers: Iterable[int], take: Take, also: Callable[[int], Take | None]
) -> Iterator[tuple[FuzzReport, int]]:
    """Yield the report with the number of each file before it is sent, and the last one again.

    `also` gives a second target for some numbers, whose outcome must be the same. Good files are
    sent first: what the first of a kind imports is no growth.
    """
    signal.signal(signal.SIGPROF, _stop_hang)
    report, number = FuzzReport(), 0
    for kind, files in good_files().items():
        for data in files:
            for target in filter(None, (take, also(0))):
                assert target(FuzzedUpload(data, kind, {})).startswith("201")
    before = peak_memory()
    for number in numbers:
        yield report, number
        _send(report, seed, number, take, also(number))
        report.memory = peak_memory() - before
    yield report, number


def make_upload(seed: int, number: int) -> tuple[str, FuzzedUpload]:
    """Return the name and the body of a damaged file, plain, gzip'd or in a form."""
    rng = random.Random(f"{seed} {number}")
    kind = rng.choice(list(good_files()))
    data, name = damage(rng, kind), SUFFIXES[kind]
    wrapping = rng.choice(["", "", "", "", "", "", "gzip", "form"])
    if wrapping == "gzip":
        upload = FuzzedUpload(wrap_gzip(rng, data), kind, {"Content-Encoding": "gzip"})
    elif wrapping == "form":
        body = wrap_form(rng, data, f"x.{name}")
        upload = FuzzedUpload(body, f"{FORM}; boundary={BOUNDARY}", {})
    else:
        upload = FuzzedUpload(data, kind, {})
    return f"{name}{wrapping and ' in '}{wrapping}", upload


def _send(report: FuzzReport, seed: int, number: int, take: Take, also: Take | None) -> None:
    name, upload = make_upload(seed, number)
    start, outcome = time.process_time(), "fault"
    signal.setitimer(signal.ITIMER_PROF, MAX_FILE_SECONDS)
    try:
        outcome = take(upload)
        if also is not None and (other := also(upload)) != outcome:
            report.faults[number] = f"{name}: {outcome} and {other}"
    except Exception as error:
        report.faults[number] = f"{name}: {error!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    report.outcomes[f"{name}: {outcome}"] += 1
    report.seconds = max(report.seconds, (time.process_time() - start, f"{number} {name}"))


def _stop_hang(_signal: int, _frame: Any) -> None:
    raise Hang(f"more than {MAX_FILE_SECONDS} s of the processor")


def peak_memory() -> int:
    """Return the most resident bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
