"""Measure what reading an upload takes: processor time and memory, of a process of its own each.

`python -m tests.upload_costs [NAME …]` prints a line of JSON for each name.
"""

import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from api.errors import Problem
from api.gzip_body import decode_gzip
from api.multipart_body import read_file_part
from jobs.datasets.formats.data_errors import BadData
from jobs.datasets.profiling import make_profiler
from jobs.spec.profiles import ParseOptions
from tests.costly_uploads import BOUNDARY, FORM, GZIP, PARQUET, UPLOADS

READ_SIZE = 1 << 18
MAX_BYTES = 1 << 30
#: of the processor times of twice a size and of the size
MAX_RATIO, MAX_TRIES = 3, 12


class Cost(NamedTuple):
    """Bytes of a body, the processor seconds of its reading, and by how many bytes memory grew."""

    body: int
    seconds: float
    memory: int


def read(kind: str, path: Path) -> str:
    """Read a file as the upload of a kind; return how it ended."""
    try:
        pieces = read_pieces(path)
        if kind == GZIP:
            pieces = decode_gzip(pieces)
        elif kind == FORM:
            pieces = read_file_part(pieces, BOUNDARY).pieces
        if kind in (GZIP, FORM):
            return f"{sum(map(len, pieces))} bytes"
        profiler = make_profiler(kind, ParseOptions(), max_bytes=MAX_BYTES)  # type: ignore[arg-type]
        for piece in pieces:
            profiler.feed(piece)
        return f"{profiler.finish(path).rows} rows"
    except (BadData, Problem) as error:
        return f"{type(error).__name__}: {error}"[:100]


def read_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(partial(file.read, READ_SIZE), b"")


def measure(kind: str, path: Path) -> tuple[Cost, str]:
    """Measure one reading in a child; return what it took and how it ended."""
    output, write_end = os.pipe()
    if (child := os.fork()) == 0:
        before, start = own_memory(), time.process_time()
        ending = read(kind, path)
        seconds = time.process_time() - start
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        os.write(write_end, json.dumps([seconds, used, ending]).encode())
        os._exit(0)
    os.close(write_end)
    with open(output) as answer:
        seconds, used, ending = json.load(answer)
    os.waitpid(child, 0)
    return Cost(path.stat().st_size, seconds, used), ending


def own_memory() -> int:
    """Return the resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def write_body(name: str, n: int, path: Path) -> None:
    """Write a body in a child, whose memory is gone afterwards."""
    if (child := os.fork()) == 0:
        path.write_bytes(UPLOADS[name][2](n))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name


def compare(name: str, max_ratio: float) -> dict[str, Any]:
    """Measure an upload at its size and at twice that.

    Other processes take caches away, so the least of up to MAX_TRIES counts while the ratio of
    processor times is too large.
    """
    kind, n, _ = UPLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(size) for size in (n, 2 * n)]
        for times, path in enumerate(paths, start=1):
            write_body(name, times * n, path)
        seconds, memory, ending = [float("inf")] * 2, 0, ""
        for _ in range(MAX_TRIES):
            for at, path in enumerate(paths):
                cost, ending = measure(kind, path)
                seconds[at] = min(seconds[at], cost.seconds)
                memory = max(memory, cost.memory)
            if seconds[1] <= max_ratio * seconds[0]:
                break
    return {"name": name, "body": cost.body, "seconds": seconds, "memory": memory, "ending": ending}


def main(names: Iterable[str]) -> None:
    """Print the costs of each upload. What is imported is not looked through again in a child."""
    if any(UPLOADS[name][0] == PARQUET for name in names):
        import pyarrow.parquet  # once, here, as a service that has read such a file

        pyarrow.scalar(0)  # imports pandas, where that is installed
    gc.freeze()
    for name in names:
        print(json.dumps(compare(name, MAX_RATIO)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(UPLOADS))
