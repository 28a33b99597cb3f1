"""What a long-lived process keeps: freed memory of its threads, and parsed specs."""

import subprocess
import sys

import pytest

from jobs.spec.reading import read_spec
from jobs.store import codec
from tests.support import ROOT, small_spec

#: sixteen threads, one after the other, allocate 8 MiB in blocks of 64 KiB, and free all but what
#: was allocated last; prints the MiB of this process's own memory
PROGRAM = """
import sys, threading
from pathlib import Path
from jobs.allocator import limit_unused_memory
if sys.argv[1] == "limited":
    limit_unused_memory()
turn, kept, everybody = threading.Lock(), [], threading.Barrier(16)
def allocate():
    everybody.wait()
    with turn:
        blocks = [bytearray(1 << 16) for _ in range(128)]
        kept.append(bytearray(1 << 10))
        del blocks
threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line]
print(int(line.split()[1]) // 1024)
"""


def run(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


def test_a_process_of_many_threads_returns_most_of_what_they_have_freed() -> None:
    unlimited, limited = run("as it is"), run("limited")
    if unlimited < 40:
        pytest.skip(f"this C library keeps {unlimited} MiB of itself")
    assert limited < unlimited / 2


def test_a_process_that_reads_a_job_at_a_time_keeps_few_parsed_specs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "_parse_spec_cached", None)  # restored afterwards
    texts = [read_spec(small_spec(seed=seed), max_parameters=100) for seed in range(3)]
    stored = [spec.model_dump_json().encode() for spec in texts]
    codec.limit_cached_specs(2)

    first, _, last = map(codec.parse_spec, stored)

    assert codec.parse_spec(stored[2]) is last
    assert codec.parse_spec(stored[0]) is not first
