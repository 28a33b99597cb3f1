"""Compare the recorded summary rows of a history with those of its recorded values."""

import numpy as np
import numpy.typing as npt

from jobs.history.column_reader import ColumnReader, Extent, SegmentPiece
from jobs.history.errors import DamagedHistory
from jobs.history.summary_rows import BUCKET, SEGMENT, Summaries, summarize

#: minima, maxima and counts are equal to the bit. A sum may be added in another order by another
#: version of numpy, so it may be off by this share of the sum of the values' sizes
SUM_TOLERANCE = BUCKET * np.finfo(np.float64).eps
EXACT_FIELDS = ("min", "max", "finite", "nonfinite")


def check_rows(reader: ColumnReader, extent: Extent, column: str, first: int, last: int) -> None:
    """Check the rows that the ticks first…last complete, each against all of its 1,024 values.

    Raises DamagedHistory, which names the file of the first row that is not that of its values.
    """
    start, stop = (first - 1) // BUCKET, last // BUCKET
    if start >= stop:
        return
    values = reader.values(extent, column, start * BUCKET + 1, stop * BUCKET)
    wrong = np.flatnonzero(_differs(values, reader.rows(extent, column, start, stop)))
    if not wrong.size:
        return
    row = start + int(wrong[0])
    piece = SegmentPiece(column, row * BUCKET // SEGMENT, "rows")
    ticks = f"{row * BUCKET + 1} to {(row + 1) * BUCKET}"
    detail = f"the summary row of the ticks {ticks} is not that of their values"
    raise DamagedHistory(f"history/{piece.name}: {detail}", f"history/{piece.name}")


def _differs(values: npt.NDArray[np.float32], rows: Summaries) -> npt.NDArray[np.bool_]:
    """Return for each row whether it is another one than that of its values."""
    expected, sizes = summarize(values), summarize(np.abs(values))["sum"]
    differs = np.abs(rows["sum"] - expected["sum"]) > SUM_TOLERANCE * sizes
    differs |= np.isnan(rows["sum"])
    for name in EXACT_FIELDS:
        differs |= rows[name] != expected[name]
    result: npt.NDArray[np.bool_] = differs
    return result
