"""Memory of a training on a text of 2 GB against one of 2 MB.

The long text is the example's, repeated, in a temporary file. Each training is a process that
prints the peak of its resident memory.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import Figure, ratio

SIZES = {"2 GB": 2_000_000_000, "2 MB": 2_000_000}  # bytes
MIN_FREE_BYTES = 1 << 30  # bytes of disk that must be left
WINDOW, TICKS = 64, 2000
HELD_OUT_ROWS = 600  # rows, about, of either text
#: of two bytes each, so that characters are found by the index
LETTERS = ("é", "ü")


def measure(rounds: int) -> list[Figure]:
    """Train the same small net on both texts, in bytes and in characters."""
    values_by_case: dict[tuple[str, str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        if shutil.disk_usage(folder).free < (needed := SIZES["2 GB"] + MIN_FREE_BYTES):
            raise SystemExit(f"the bench needs {needed:,} free bytes in {folder}")
        texts = {size: _write_text(folder / f"{size}.txt", count) for size, count in SIZES.items()}
        for _ in range(rounds):
            for vocabulary in ("bytes", "characters"):
                for size, text in texts.items():
                    for unit, value in _train(text, vocabulary).items():
                        values_by_case.setdefault((vocabulary, size, unit), []).append(value)
    figures = [
        Figure(f"{vocabulary}, {size} of text, {quantity}", unit, values)
        for (vocabulary, size, name), values in values_by_case.items()
        for quantity, unit in [name.split(", ")]
    ]
    for vocabulary in ("bytes", "characters"):
        long, short = (values_by_case[vocabulary, size, "peak memory, MB"] for size in SIZES)
        figures.append(ratio(f"{vocabulary}, peak memory of 2 GB against 2 MB", long, short))
    return figures


def _write_text(file: Path, size: int) -> Path:
    """Write a text of about `size` bytes whose characters are of one and two bytes."""
    genesis = Path("examples/data/genesis.txt").read_text()
    for letter, other in zip("eu", LETTERS, strict=True):
        genesis = genesis.replace(letter, other)
    part = genesis.encode() * 10
    with file.open("wb") as opened:
        for _ in range(max(1, size // len(part))):
            opened.write(part)
    return file


def _train(text: Path, vocabulary: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.text_memory", str(text), vocabulary]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main(arguments: Sequence[str]) -> None:
    """Train on one text and print its memory and time."""
    import resource
    import time

    import torch

    from jobs.spec.dataset_binding import DataFile
    from jobs.spec.dataset_checks import KnownDataset
    from jobs.spec.profiles import DatasetProfile
    from jobs.spec.reading import read_spec
    from jobs.spec.text import TextFacts
    from ticks import machine
    from ticks.training import TrainingRun

    text, vocabulary = Path(arguments[0]), arguments[1]
    part = Path("examples/data/genesis.txt").read_text()
    size = text.stat().st_size
    accents = part.count("e") + part.count("u")
    times = size // (len(part) + accents)
    letters = sorted(set(part) - set("eu") | set(LETTERS))
    facts = TextFacts(bytes=size, characters=times * len(part), vocabulary=letters)
    with text.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    source = DataFile(path=text.name, sha256=sha256, bytes=size, type="text/plain", text=facts)
    body: dict[str, Any] = {
        "model": {"family": "transformer_lm", "layers": 1, "heads": 2, "width": 32,
                  "vocabulary": vocabulary},
        "data": {"source": "dataset", "id": "ds_" + "a" * 26, "window": WINDOW},
        "budget": {"ticks": TICKS},
        "validation": {"fraction": HELD_OUT_ROWS * WINDOW / size, "every_ticks": TICKS},
    }  # fmt: skip
    dataset = KnownDataset(source, DatasetProfile(text=facts))
    spec = read_spec(body, max_parameters=10**6, datasets=lambda _: dataset)
    machine.configure_torch(1)
    started = time.perf_counter()
    training = TrainingRun(spec, torch.device("cpu"), artifacts=text.parent)
    loaded = time.perf_counter()
    while training.end_reason is None:
        training.run(500)
    trained = time.perf_counter()
    result = {
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "opened in, s": loaded - started,
        "ticks, 1/s": TICKS / (trained - loaded),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
