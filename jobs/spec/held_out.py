"""The rows that a job is not trained on: `validation`, `test`, and how each is chosen."""

import math
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field, model_validator

from jobs.sampling.splits import Split
from jobs.spec.base import DatasetId, Ticks
from jobs.spec.metrics import ValidationMetric
from models.strict_models import LimitErrors, StrictModel
from models.strict_numbers import FINITE

HeldOutShare = Annotated[float, Field(gt=0, le=0.5), FINITE]


class HeldOut(StrictModel):
    """Rows that are never trained on: a fraction of the data, or another dataset."""

    fraction: HeldOutShare | None = None
    """Share of all rows, rounded down."""
    split: Split | None = None
    """How the fraction is chosen by the seed: `random`, `stratified` (of each class its share),
    `group` (whole groups of rows), or `last` (the last rows). null: `group` where a group is named,
    as the other of validation and test where that one names its own, else `stratified` for
    classes of a dataset or of inline rows, else `random`."""
    group: Annotated[str, Field(min_length=1)] | None = None
    """For the split `group`: the column whose equal values make a group. It is no feature, unless
    `data.features` names it."""
    id: DatasetId | None = None
    """A dataset with the same columns; all its rows are used."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Any:
        if (self.fraction is None) == (self.id is None):
            raise ValueError("exactly one of fraction and id is needed")
        if self.id is not None and (self.split or self.group):
            raise ValueError("split and group are for a fraction: of a dataset all rows are used")
        if self.split == "group" and self.group is None:
            raise ValueError("the split group needs the name of a column as group")
        if self.split not in (None, "group") and self.group is not None:
            raise ValueError(f"group is for the split group, not {self.split}")
        return self


class Validation(HeldOut):
    """Rows to validate on while the job trains."""

    every_ticks: Ticks | None = None
    """null: max(100, ⌈ticks_total ÷ 100⌉), or 100 without a total."""
    metrics: Annotated[list[ValidationMetric], LimitErrors()] | None = None
    """The metrics to record; val_loss always is. null: all of the objective."""


class HeldOutTest(HeldOut):
    """Rows that are evaluated once, at the end. They are drawn first, before the validation's."""


def exact_fraction(fraction: float) -> Fraction:
    """Return the decimal as it was written: 0.29 is 29/100, not the nearest binary number."""
    return Fraction(repr(fraction))


def count_share(fraction: float, rows: int) -> int:
    """Return ⌊fraction × rows⌋ of the decimal as it was written."""
    return math.floor(exact_fraction(fraction) * rows)


def count_binary_share(fraction: float, rows: int) -> int:
    """Return ⌊fraction × rows⌋ of binary numbers, as specs of the first revision mean it: 0.29 of
    100 is 28."""
    return math.floor(fraction * rows)
