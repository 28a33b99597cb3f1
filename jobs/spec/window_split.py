"""Split the windows of a spec's text. Nothing is stored: a side is a map from numbers to rows."""

from collections.abc import Callable
from typing import NamedTuple

from jobs.sampling.permutations import HeldOutSplit, Numbers
from jobs.sampling.seeds import derive_seed
from jobs.spec.held_out import HeldOut
from jobs.spec.job_spec import JobSpec

#: numbers of rows on one side of a split, from 0 in the text's order -> rows of the text
RowMap = Callable[[Numbers], Numbers]


class WindowSplit(NamedTuple):
    """The rows of a text to train on, to validate on and to test on."""

    training: RowMap
    held_out: RowMap
    test: RowMap


def split_windows(spec: JobSpec) -> WindowSplit:
    """Split the rows of a text. The test is drawn first, the validation from the rows it leaves."""
    count, test_count = spec.profile.rows, spec.test_rows
    test, rest = _split_off(spec.test, "test", count, test_count, spec.seed)
    held_out, training = _split_off(
        spec.validation, "validation", count - test_count, spec.held_out_rows, spec.seed
    )
    return WindowSplit(
        training=lambda numbers: rest(training(numbers)),
        held_out=lambda numbers: rest(held_out(numbers)),
        test=test,
    )


def _split_off(
    part: HeldOut | None, purpose: str, count: int, held_out: int, seed: int
) -> tuple[RowMap, RowMap]:
    """Return the maps of the rows that are held out and of the others, among `count`."""
    if part is not None and part.split == "random" and held_out:
        split = HeldOutSplit(count, held_out, derive_seed(purpose, seed))
        return split.held_out, split.training
    return lambda numbers: numbers + (count - held_out), lambda numbers: numbers
