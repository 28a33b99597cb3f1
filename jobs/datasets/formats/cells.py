"""What the cells of a table mean: missing values, numbers, times and texts.

The profile of an upload and the rows of a job both read cells here, so that they agree.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.table import Value
from jobs.spec.profiles import ParseOptions

Floats = NDArray[np.float64]
#: the documented list of cells that mean a missing value, whatever blanks surround them
MISSING_TOKENS = frozenset(
    {
        "", "NA", "N/A", "n/a", "n.a.", "na", "NaN", "nan", "-nan", "-NaN", "null", "NULL", "Null",
        "None", "none", "nil", "<NA>", "#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?",
        "#NUM!", "#NULL!", "?", ".", "-", "--", "\\N",
    }
)  # fmt: skip
NUMBER_PATTERN = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class CellParser:
    """Reads the cells of one dataset by the options of its upload."""

    def __init__(self, options: ParseOptions) -> None:
        self.options = options
        self.missing_tokens = MISSING_TOKENS | frozenset(options.missing)

    def is_missing(self, value: Value) -> bool:
        """Return whether a cell is missing."""
        return value is None or (isinstance(value, str) and value.strip() in self.missing_tokens)

    def missing_mask(self, values: Sequence[Value]) -> NDArray[np.bool_]:
        """Return a mask [values] of the missing cells."""
        return np.fromiter(map(self.is_missing, values), np.bool_, len(values))

    def numbers(self, values: Sequence[Value]) -> Floats:
        """Return cells as numbers, float64 [values], NaN for missing ones.

        Raises ValueError for a cell that is neither.
        """
        return np.fromiter(map(self._number, values), np.float64, len(values))

    def times(self, values: Sequence[Value]) -> Floats:
        """Return cells as seconds since 1970 (UTC), float64 [values], NaN for missing ones.

        Raises ValueError for a cell that is neither.
        """
        return np.fromiter(map(self._time, values), np.float64, len(values))

    def _number(self, value: Value) -> float:
        if self.is_missing(value):
            return np.nan
        if isinstance(value, str) and not NUMBER_PATTERN.fullmatch(value):
            raise ValueError(value)
        return float(value or 0)

    def _time(self, value: Value) -> float:
        if self.is_missing(value):
            return np.nan
        moment = datetime.fromisoformat(str(value).strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def spelling(value: Value) -> str:
    """Return a cell as a text, which is its class in a category."""
    return str(value)
