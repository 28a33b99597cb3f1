"""What glibc's allocator keeps of the memory that threads have freed."""

import subprocess
import sys

import pytest

from tests.support import ROOT

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
