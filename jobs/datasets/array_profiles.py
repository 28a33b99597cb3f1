"""Profile the arrays of an NPZ file: shapes, classes of the targets, their mean and deviation."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.data_errors import DataErrors
from jobs.datasets.formats.npz import Npz, check_values
from jobs.datasets.formats.npz_members import list_names
from jobs.spec.profiles import MAX_CLASSES, DatasetProfile, Note, NpzArray, ParseOptions

MAX_DESCRIBED_OUTPUTS = 1000  # of targets of more numbers no mean is kept
MAX_EXACT_INTEGER = 2.0**53  # float64 holds every whole number up to here
Floats = NDArray[np.float64]


def profile_npz(path: Path, options: ParseOptions, max_bytes: int) -> DatasetProfile:
    """Return the profile of a file whose arrays have at most `max_bytes` unpacked.

    Raises BadData; OSError where there is no room to unpack an array in Fortran order.
    """
    with path.open("rb") as file, Npz(file, options, max_bytes=max_bytes) as npz:
        npz.check_sums()
        check_values(npz, DataErrors())
        inputs, targets = (
            NpzArray(shape=list(member.shape), dtype=member.dtype.str)
            for member in (npz.members["inputs"], npz.members["targets"])
        )
        moments = _measure_targets(npz)
        return DatasetProfile(
            rows=inputs.shape[0],
            inputs=inputs,
            targets=targets,
            target_classes=_find_classes(npz),
            target_mean=None if moments is None else moments.mean.tolist(),
            target_deviation=None if moments is None else moments.deviation.tolist(),
            notes=_note_ignored(npz.ignored, options),
        )


class Moments:
    """Mean and deviation of each column [outputs] of rows that come in pieces."""

    def __init__(self) -> None:
        self._count = 0
        self.mean: Floats = np.zeros(1)
        self._squares: Floats = np.zeros(1)

    def add(self, rows: Floats) -> None:
        """Add rows [rows, outputs]."""
        mean = rows.mean(axis=0)
        squares = ((rows - mean) ** 2).sum(axis=0)
        total = self._count + len(rows)
        delta = mean - self.mean
        self._squares = self._squares + squares + delta**2 * self._count * len(rows) / total
        self.mean = self.mean + delta * len(rows) / total
        self._count = total

    @property
    def deviation(self) -> Floats:
        """The (biased) standard deviation [outputs]."""
        return np.sqrt(self._squares / max(self._count, 1))


def _measure_targets(npz: Npz) -> Moments | None:
    """Return mean and deviation of the targets; None for many numbers a row."""
    if sum(npz.members["targets"].shape[1:]) > MAX_DESCRIBED_OUTPUTS:
        return None
    moments = Moments()
    for _, values in npz.read_pieces("targets"):
        moments.add(values.astype(np.float64).reshape(len(values), -1))
    return moments


def _find_classes(npz: Npz) -> list[int] | None:
    """Return the distinct targets, sorted, if they are at most 1,000 whole numbers, else None."""
    if npz.members["targets"].shape[1:] not in ((), (1,)):
        return None
    distinct: set[float] = set()
    for _, values in npz.read_pieces("targets"):
        numbers = values.astype(np.float64)
        if (numbers != np.round(numbers)).any() or (np.abs(numbers) > MAX_EXACT_INTEGER).any():
            return None
        distinct.update(np.unique(numbers).tolist())
        if len(distinct) > MAX_CLASSES:
            return None
    return [int(number) for number in sorted(distinct)]


def _note_ignored(names: list[str], options: ParseOptions) -> list[Note]:
    if not names:
        return []
    detail = (
        f"a job reads the arrays {options.inputs!r} and {options.targets!r}; not read: "
        f"{list_names(names)} (to read others, upload with ?inputs=NAME&targets=NAME)"
    )
    return [Note(code="ignored_arrays", detail=detail)]
