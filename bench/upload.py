"""Profile of uploaded tables: 20 columns of many rows, and 9,000 columns of few.

Each measurement is a process of its own, so that its peak of resident memory is its own. pandas,
and pyarrow for information, are measured beside ours where they are installed (`make bench-peers`
installs them).
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.report import Figure, ratio

READ_SIZE = 1 << 18  # bytes, as the service takes them from a connection
WORDS = np.array(["red", "green", "blue", "yellow", "black", "white"])
CHUNK_CELLS = 200_000
PEERS = ("pandas", "pyarrow")


def measure(rounds: int, *, rows: int = 1_000_000) -> list[Figure]:
    """Profile both tables, in turn with the peers that are there."""
    peers = [name for name in PEERS if importlib.util.find_spec(name)]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        tables = {
            f"{rows:,} rows x 20 columns": _write_tall(folder / "tall.csv", rows),
            "1,000 rows x 9,000 columns": _write_wide(folder / "wide.csv", 1000, 9000),
        }
        for title, file in tables.items():
            figures += _measure_table(title, file, ["ours", *peers], rounds)
    return figures


def _measure_table(title: str, file: Path, names: Sequence[str], rounds: int) -> list[Figure]:
    results = {name: [_run(name, file) for _ in range(rounds)] for name in names}
    seconds = {name: [run["seconds"] for run in runs] for name, runs in results.items()}
    figures = [Figure(f"{title}, {name}", "s", seconds[name]) for name in names]
    memory = [run["megabytes"] for run in results["ours"]]
    figures.append(Figure(f"{title}, memory over the idle process", "MiB", memory))
    return figures + [
        ratio(f"{title}: ours against {name}", seconds["ours"], seconds[name]) for name in names[1:]
    ]


def _run(name: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.upload", name, str(file)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def _write_tall(file: Path, rows: int) -> Path:
    """Write 12 columns of decimals, 4 of whole numbers and 4 of words."""
    rng = np.random.default_rng(0)
    with file.open("w") as opened:
        opened.write(",".join(f"c{at}" for at in range(20)) + "\n")
        for first in range(0, rows, CHUNK_CELLS // 20):
            count = min(CHUNK_CELLS // 20, rows - first)
            decimals = np.char.mod("%.4f", rng.normal(size=(count, 12)) * 10)
            whole = rng.integers(0, [100, 100, 100, 10**6], (count, 4)).astype(str)
            words = WORDS[rng.integers(0, len(WORDS), (count, 4))]
            lines = np.concatenate([decimals, whole, words], axis=1).tolist()
            opened.writelines(",".join(line) + "\n" for line in lines)
    return file


def _write_wide(file: Path, rows: int, columns: int) -> Path:
    rng = np.random.default_rng(0)
    with file.open("w") as opened:
        opened.write(",".join(f"g{at}" for at in range(columns)) + "\n")
        for _ in range(rows):
            opened.write(",".join(np.char.mod("%.3f", rng.normal(size=columns))) + "\n")
    return file


def _profile(file: Path) -> None:
    from jobs.datasets.profiling import make_profiler
    from jobs.spec.profiles import ParseOptions

    profiler = make_profiler("text/csv", ParseOptions())
    with file.open("rb") as opened:
        while data := opened.read(READ_SIZE):
            profiler.feed(data)
    profiler.finish(file)


def _read_with_pandas(file: Path) -> None:
    import pandas

    pandas.read_csv(file)


def _read_with_pyarrow(file: Path) -> None:
    from pyarrow import csv

    csv.read_csv(file, read_options=csv.ReadOptions(use_threads=False))


READERS: dict[str, Callable[[Path], None]] = {
    "ours": _profile, "pandas": _read_with_pandas, "pyarrow": _read_with_pyarrow,
}  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Read one file by one reader, and print its seconds of processor time and its memory."""
    name, file = arguments[0], Path(arguments[1])
    with tempfile.TemporaryDirectory() as directory:
        READERS[name](_write_wide(Path(directory) / "small.csv", 3, 3))  # imports everything
    idle = _peak_memory()
    started = time.process_time()
    READERS[name](file)
    seconds = time.process_time() - started
    print(json.dumps({"seconds": seconds, "megabytes": (_peak_memory() - idle) / 1024}))


def _peak_memory() -> int:
    """Return the most resident memory that this process has had, in KiB.

    Not ru_maxrss, which begins with that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(sys.argv[1:])
