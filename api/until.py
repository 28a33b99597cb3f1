"""What a wait for a job ends with, beside the job's end: a tick, or a condition on its columns."""

from collections.abc import Callable
from dataclasses import dataclass

from api.errors import bad_parameter
from api.long_polling import UNREACHABLE_TICK
from jobs.history.condition_search import ConditionSearch
from jobs.history.history import HistoryReader
from jobs.job import Job, JobDocument
from jobs.spec.condition_checks import (
    describe_missing_column,
    find_planned_tick,
    is_planned,
)
from jobs.spec.conditions import TICK, Condition, parse_condition

END, TICK_PREFIX = "end", "tick:"
MAX_TICK_DIGITS = 15


def check_until(text: str) -> str:
    """Return the text of `until`. Raises ValueError with the rule that it breaks."""
    digits = text.removeprefix(TICK_PREFIX)
    if text == END or (digits != text and digits.isdecimal() and len(digits) <= MAX_TICK_DIGITS):
        return text
    try:
        parse_condition(text)
    except ValueError as error:
        raise ValueError(f"end, tick:N, or a condition: {error}") from None
    return text


@dataclass(frozen=True)
class WaitEnd:
    """When a wait is over: a job at this tick, or that a search of its history finds."""

    tick: int
    search: ConditionSearch | None = None
    is_end: bool = False  # of the job

    @property
    def min_tick(self) -> int:
        """The first tick that is worth a look."""
        return self.tick if self.search is None else 0

    def is_met(self, job: JobDocument) -> bool:
        """Return whether it is so of a job that was just read, rather than that the job is over."""
        return job.tick >= self.tick or self.look() or (self.is_end and job.is_terminal)

    def look(self) -> bool:
        """Return whether a recorded tick meets the condition, if there is one on a column."""
        return self.search is not None and self.search.look()


def read_until(text: str, read_job: Callable[[], JobDocument], history: HistoryReader) -> WaitEnd:
    """Read a checked `until` for a job. Raises Problem (400) for a column that it does not record.

    Only a training has columns: of other kinds of jobs the tick alone counts. The job is read only
    for a condition on a column.
    """
    if text == END:
        return WaitEnd(UNREACHABLE_TICK, is_end=True)
    if text.startswith(TICK_PREFIX):
        return WaitEnd(int(text.removeprefix(TICK_PREFIX)))
    condition = parse_condition(text)
    if condition.column == TICK:
        return WaitEnd(int(condition.threshold))
    job = read_job()
    if not isinstance(job, Job) or job.kind != "train":
        rule = f"end, tick:N or tick>=N: a {job.kind} records no columns"
        raise bad_parameter("until", rule, text)
    return _read_column(condition, job, history)


def _read_column(condition: Condition, job: Job, history: HistoryReader) -> WaitEnd:
    if rule := describe_missing_column(condition, job.spec):
        raise bad_parameter("until", rule, condition.text)
    if is_planned(condition):
        tick = find_planned_tick(condition, job.spec, job.first_tick)
        return WaitEnd(UNREACHABLE_TICK if tick is None else tick)
    return WaitEnd(UNREACHABLE_TICK, history.search(job, condition))
