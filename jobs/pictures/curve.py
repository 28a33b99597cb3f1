"""What a picture of a job shows: its columns, validation, best, and how it stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobs.history.curves import Series
from jobs.job import BestValidation, Job
from jobs.pictures.axis import tick_text

VALIDATION_PREFIX = "val_"


@dataclass(frozen=True)
class Curve:
    """A job's columns as they are drawn, with the words around them."""

    name: str
    standing: str
    is_bad: bool  # whether it failed
    series: Sequence[Series]  # the requested columns, then their validations
    best: BestValidation | None
    newest: Mapping[str, float | None]  # each column's last value, of those that the job shows


def make_curve(job: Job, series: Sequence[Series]) -> Curve:
    """Return the curve of a job whose columns were read up to its tick."""
    newest = {"loss": job.loss, **job.metrics}
    return Curve(job.name, _standing(job), job.status == "failed", series, job.best, newest)


def columns_to_draw(requested: Iterable[str], recorded: Iterable[str]) -> list[str]:
    """Return the requested columns, and the validation of each that has one."""
    names, recorded = list(dict.fromkeys(requested)), set(recorded)
    validations = [VALIDATION_PREFIX + name for name in names]
    return list(dict.fromkeys([*names, *(name for name in validations if name in recorded)]))


def quantity(column: str) -> str:
    """Return what a column measures: columns of one quantity share an axis."""
    return column.removeprefix(VALIDATION_PREFIX).removeprefix("test_")


def _standing(job: Job) -> str:
    error = job.error
    if error is not None:
        at = "" if error.tick is None else f" at tick {error.tick:,}"
        return f"{job.status}: {error.type}{at}"
    total = "" if job.ticks_total is None else f" of {tick_text(job.ticks_total)}"
    return f"{job.status}, tick {tick_text(job.tick)}{total}"
