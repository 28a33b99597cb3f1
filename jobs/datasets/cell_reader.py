"""Read the cells of blocks of rows as what they are, and remember the texts of each column."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.column_spellings import Spellings
from jobs.datasets.formats.cells import Cell, CellParser, Kind, spelling
from jobs.datasets.formats.table import Value

Kinds = NDArray[np.uint8]
Floats = NDArray[np.float64]


class BlockCells(NamedTuple):
    """What cells [rows, columns] are, and their numbers or seconds; the other values mean nothing.

    In columns that are texts for good some numbers and times may be called texts.
    """

    kinds: Kinds
    values: Floats


class CellReader:
    """Reads cells that come as lists of values, column by column."""

    def __init__(self, parser: CellParser, columns: int, *, has_typed_cells: bool) -> None:
        self.parser, self.spellings = parser, Spellings(columns)
        #: columns of a format that tells numbers from texts that have texts
        self.has_texts = np.zeros(columns, np.bool_)
        #: columns that are texts for good: of these, only gaps are still looked for
        self.is_settled = np.zeros(columns, np.bool_)
        self._has_typed_cells = has_typed_cells

    def read_columns(self, columns: Sequence[Sequence[Value]]) -> BlockCells:
        """Read columns of values."""
        shape = len(columns[0]), len(columns)
        cells = BlockCells(np.empty(shape, np.uint8), np.empty(shape))
        for column, values in enumerate(columns):
            if values.count(None) == shape[0]:
                cells.kinds[:, column] = Kind.MISSING
                continue
            if self._has_typed_cells and not self.has_texts[column]:
                self.has_texts[column] = self._find_text(values)
            cells.kinds[:, column], cells.values[:, column] = self.read_column(column, values)
        return cells

    def read_column(
        self, column: int, values: Sequence[Value]
    ) -> tuple[Kinds | Kind, Floats | float]:
        """Return kinds and values of some cells of a column, in the order of their rows."""
        if self.is_settled[column]:
            missing = self.parser.missing_mask(values)
            return np.where(missing, Kind.MISSING, Kind.TEXT).astype(np.uint8), np.nan
        numbers = self.parser.plain_numbers(values)
        if numbers is None:
            return self._classify(column, values)
        if self.spellings.is_kept[column]:
            distinct = dict(zip(map(spelling, values), numbers.tolist(), strict=True))
            known = self.spellings.texts[column]
            new = {
                text: Cell(Kind.NUMBER, number)
                for text, number in distinct.items()
                if text not in known
            }
            self.spellings.add(column, new)
        return Kind.NUMBER, numbers

    def _classify(self, column: int, values: Sequence[Value]) -> tuple[Kinds, Floats]:
        known, new = self.spellings.texts[column], dict[str, Cell]()
        cells = list[Cell]()
        for value in values:
            text = spelling(value)
            cell = known.get(text) or new.get(text)
            if cell is None:
                cell = new[text] = self.parser.classify(value)
            cells.append(cell)
        self.spellings.add(column, new)
        kinds = np.fromiter((cell.kind for cell in cells), np.uint8, len(cells))
        return kinds, np.fromiter((cell.value for cell in cells), np.float64, len(cells))

    def _find_text(self, values: Sequence[Value]) -> bool:
        """Return whether there is a text among values of a typed format that is not missing."""
        texts = (value for value in values if isinstance(value, str))
        return any(not self.parser.is_missing(text) for text in texts)
