"""Conditions on a job's ticks: `tick>=N`, or a column or metric below or above a number.

One grammar for `notify_when` of a spec and `until` of waits. A recorded float32 is compared as the
float64 that it equals. An infinite value is above (or below) every number; NaN meets nothing.
Knows no spec and no store.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.spec.base import MAX_TICKS

MAX_CONDITIONS = 20  # of one spec
MAX_CONDITION_CHARACTERS = 100
TICK = "tick"
RULE = "tick>=N, COLUMN<X or COLUMN>X, without blanks, such as loss<0.1"
FORM = re.compile(r"([a-z][a-z0-9_]*)(>=|<=|==|!=|=|<|>)(.*)", re.DOTALL)
NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
#: what a condition compares by
COMPARISONS: dict[str, Callable[..., npt.NDArray[np.bool_]]] = {"<": np.less, ">": np.greater}


@dataclass(frozen=True)
class Condition:
    """A condition as it was written; `operator` is < or >, or >= for the tick alone."""

    text: str
    column: str
    operator: str
    threshold: float

    @property
    def meaning(self) -> tuple[str, str, float]:
        """What makes it the same condition as another, however its number is written."""
        return self.column, self.operator, self.threshold

    def compare(self, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which of some values of its column meet it."""
        # in float64: numpy would round a Python float to the float32 of the other side
        return COMPARISONS[self.operator](np.asarray(values, np.float64), self.threshold)

    def is_met(self, value: float) -> bool:
        """Return whether a value of its column meets it."""
        return bool(self.compare(value))


class MetCondition(NamedTuple):
    """A condition, as it was written, with the first tick that meets it and the value there."""

    text: str
    tick: int
    value: float


def parse_condition(text: str) -> Condition:
    """Parse a condition. Raises ValueError with the rule that it breaks."""
    if len(text) > MAX_CONDITION_CHARACTERS:
        raise ValueError(f"at most {MAX_CONDITION_CHARACTERS} characters")
    form = FORM.fullmatch(text)
    if form is None:
        raise ValueError(RULE)
    column, operator, number = form.groups()
    if column == TICK:
        return _parse_tick_condition(text, operator, number)
    if operator not in COMPARISONS:
        raise ValueError(f"{column} is compared by < or >, not by {operator}")
    if not NUMBER.fullmatch(number) or not math.isfinite(float(number)):
        raise ValueError(f"a finite number after {operator}, such as 0.1 or 1e-3")
    return Condition(text, column, operator, float(number))


def check_condition(text: str) -> str:
    """Return the text of a condition. Raises ValueError with the rule that it breaks."""
    parse_condition(text)
    return text


def _parse_tick_condition(text: str, operator: str, number: str) -> Condition:
    is_number = re.fullmatch("[0-9]{1,15}", number) is not None
    if operator != ">=" or not is_number or not 1 <= int(number) <= MAX_TICKS:
        raise ValueError(f"tick>=N with a whole number N from 1 to {MAX_TICKS}")
    return Condition(text, TICK, operator, int(number))
