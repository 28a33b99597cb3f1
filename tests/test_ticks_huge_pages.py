"""The fork server's memory lies on huge pages before its first fork, with the bytes it had."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ticks.process import huge_pages

PROGRAM = """
from pathlib import Path
from ticks.process.huge_pages import collapse_private_memory
blocks = [bytes([number % 251]) * 100_000 for number in range(400)]
count = collapse_private_memory()
assert all(block == bytes([number % 251]) * 100_000 for number, block in enumerate(blocks))
print(count, Path("/proc/self/smaps_rollup").read_text())
"""


def has_collapse() -> bool:
    """Return whether this kernel puts memory on huge pages when it is asked to (Linux 6.1)."""
    release = [int(part) for part in re.findall(r"\d+", platform.release())[:2]]
    return release >= [6, 1] and huge_pages.PAGE_SIZE_FILE.exists()


@pytest.mark.skipif(not has_collapse(), reason="this kernel has no MADV_COLLAPSE")
def test_memory_is_put_on_huge_pages_and_keeps_its_bytes() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout
    kib = {name: int(size) for name, size in re.findall(r"(\w+):\s+(\d+) kB", printed)}
    count, size = int(printed.split()[0]), int(huge_pages.PAGE_SIZE_FILE.read_text())
    assert count > 0 and kib["AnonHugePages"] * 1024 >= count * size


def test_a_kernel_without_huge_pages_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "PAGE_SIZE_FILE", Path("/proc/self/no-such-file"))
    assert huge_pages.collapse_private_memory() == 0
