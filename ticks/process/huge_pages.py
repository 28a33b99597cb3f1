"""Puts what the fork server has imported on huge pages, so that forks copy few page table entries.

A fork copies an entry for each page of the parent's own memory, and the end of the child frees it
again: of 160 MB in pages of 4 KiB these are 40,000, some 5 ms each way (measured, torch 2.13). A
child that writes to a huge page gets a copy of the 4 KiB that it writes to, as of any other page.
Linux from 6.1 on; where the kernel refuses it, nothing changes.
"""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

PAGE_SIZE_FILE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
MADV_COLLAPSE = 25
#: a line of /proc/self/maps of private memory that belongs to no file: addresses in hex
PRIVATE_MEMORY = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0\s*(?:\[heap\])?")


def collapse_private_memory() -> int:
    """Replace small pages of this process's own memory by huge ones; return how many huge ones.

    Call it before there are children: what they share with this process would be copied.
    """
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    size = _huge_page_size()
    addresses = list(_aligned_addresses(size)) if size else []
    return sum(advise(address, size, MADV_COLLAPSE) == 0 for address in addresses)


def _huge_page_size() -> int:
    """Return the bytes of a huge page, 0 where the kernel has none."""
    try:
        return int(PAGE_SIZE_FILE.read_text())
    except (OSError, ValueError):
        return 0


def _aligned_addresses(size: int) -> Iterator[int]:
    """Yield the addresses of all whole huge pages within this process's private memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if match := PRIVATE_MEMORY.fullmatch(line):
            first, last = (int(text, 16) for text in match.groups())
            yield from range(-(-first // size) * size, last - size + 1, size)
