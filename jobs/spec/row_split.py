"""Split the rows of a spec's data into those to train on, to validate on and to test on.

A pure function of the spec and of the rows' classes or groups, which the caller reads.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jobs.sampling.splits import Draw, Mask, Numbers, Permute, draw_rows
from jobs.spec.held_out import HeldOut, exact_fraction
from jobs.spec.job_spec import JobSpec


class RowSplit(NamedTuple):
    """Masks of the rows of a table, bool [rows]: each row is in one of them."""

    training: Mask
    held_out: Mask
    test: Mask


def split_rows(
    spec: JobSpec, classes: Numbers | None, groups: Mapping[str, Numbers], permute: Permute
) -> RowSplit:
    """Split the rows of a table. The test is drawn first, the validation from the rows it leaves.

    `classes` are those of the targets and `groups` those of the columns that the splits name,
    numbered from 0, int64 [rows]; only splits that need them read them.
    """
    free = np.ones(spec.profile.rows, dtype=np.bool_)
    masks = {}
    for purpose, part in (("test", spec.test), ("validation", spec.validation)):
        masks[purpose] = np.zeros_like(free)
        if part is not None and part.fraction is not None:
            draw = _make_draw(purpose, part, spec.count_share(part), classes, groups)
            masks[purpose] = draw_rows(draw, free, spec.seed, permute)
        free = free & ~masks[purpose]
    return RowSplit(free, masks["validation"], masks["test"])


def _make_draw(
    purpose: str,
    part: HeldOut,
    count: int,
    classes: Numbers | None,
    groups: Mapping[str, Numbers],
) -> Draw:
    assert part.fraction is not None and part.split is not None, "reading fills in the split"
    codes = classes if part.split == "stratified" else groups.get(part.group or "")
    return Draw(purpose, part.split, exact_fraction(part.fraction), count, codes)


def group_columns(spec: JobSpec) -> list[str]:
    """Return the columns that splits by groups name, each once."""
    parts = [part for part in (spec.test, spec.validation) if part is not None]
    return list(dict.fromkeys(part.group for part in parts if part.group is not None))


def needs_classes(spec: JobSpec) -> bool:
    """Return whether a split reads the classes of the targets."""
    return any(
        part is not None and part.split == "stratified" for part in (spec.validation, spec.test)
    )
