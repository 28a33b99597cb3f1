"""Remember the different texts of each column of a table, in bounded memory.

A column is given up at its 1,001st text and at its first of more than 255 characters. If all
columns together hold too much, the largest of numbers are given up first, then the largest of all.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.formats.cells import Cell, Kind
from jobs.spec.profiles import MAX_CLASSES

MAX_CLASS_CHARACTERS = 255
MAX_SPELLINGS = 65_536  # over all columns
MAX_SPELLING_CHARACTERS = 262_144  # over all columns
MAX_SAMPLES = 5  # texts of a column that are kept to show them

#: why a column's texts are not known
GivenUp = Literal["many", "long", "memory"]


class Spellings:
    """The texts of the columns as written, with what they are: insertion order is row order."""

    def __init__(self, columns: int) -> None:
        self.texts: list[dict[str, Cell]] = [{} for _ in range(columns)]
        self.is_kept: NDArray[np.bool_] = np.ones(columns, np.bool_)
        self.given_up: dict[int, GivenUp] = {}
        #: the numbers of columns that have more than 1,000 texts, but not as many numbers
        self.numbers: dict[int, set[float]] = {}
        #: the first different texts and times of each column
        self.samples: dict[Kind, list[list[str]]] = {
            kind: [[] for _ in range(columns)] for kind in (Kind.TEXT, Kind.TIME)
        }
        self._count, self._characters = 0, 0

    def add(self, column: int, cells: Mapping[str, Cell]) -> None:
        """Add texts of a column, in the order of their rows; missing ones are not counted."""
        self._add_samples(column, cells)
        for text, cell in cells.items():
            if not self.is_kept[column]:
                return
            if cell.kind != Kind.MISSING:
                self._add(column, text, cell)

    def add_numbers(self, numbers: Iterable[tuple[int, str, float]]) -> None:
        """Add numbers as (column, text, number)."""
        for column, text, number in numbers:
            if text not in self.texts[column] and self.is_kept[column]:
                self._add(column, text, Cell(Kind.NUMBER, number))

    def count_numbers(self, column: int, numbers: NDArray[np.float64]) -> None:
        """Add numbers of a column whose texts were too many."""
        self.numbers[column].update(np.unique(numbers).tolist())
        if len(self.numbers[column]) > MAX_CLASSES:
            del self.numbers[column]

    def _add(self, column: int, text: str, cell: Cell) -> None:
        known = self.texts[column]
        if text in known:
            return
        known[text] = cell
        self._count, self._characters = self._count + 1, self._characters + len(text)
        if len(text) > MAX_CLASS_CHARACTERS:
            self._give_up(column, "long")
        elif len(known) > MAX_CLASSES:
            numbers = {cell.value for cell in known.values() if cell.kind == Kind.NUMBER}
            if len(numbers) <= MAX_CLASSES:
                self.numbers[column] = numbers
            self._give_up(column, "many")

    def restore(
        self,
        column: int,
        cells: Mapping[str, Cell],
        given_up: GivenUp | None,
        numbers: set[float] | None,
        samples: Mapping[Kind, Sequence[str]],
    ) -> None:
        """Set what is known of the texts of earlier rows of a column, to go on from there."""
        self.texts[column] = dict(cells)
        self._count += len(cells)
        self._characters += sum(map(len, cells))
        for kind, texts in samples.items():
            self.samples[kind][column] = list(texts)
        if given_up is not None:
            self.is_kept[column], self.given_up[column] = False, given_up
        if numbers is not None:
            self.numbers[column] = numbers

    def limit_memory(self, is_number: NDArray[np.bool_]) -> None:
        """Give up the largest columns if all together hold too much, numbers first."""
        if not self._is_over():
            return
        sizes = np.fromiter(map(len, self.texts), np.int64, len(self.texts))
        for column in np.lexsort((-sizes, ~is_number)).tolist():
            if not self._is_over(2):
                return
            if self.is_kept[column] and sizes[column] > 1:
                self._give_up(column, "memory")

    def _is_over(self, times: int = 1) -> bool:
        """Return whether `times` as much is more than may be held."""
        too_many = times * self._count > MAX_SPELLINGS
        return too_many or times * self._characters > MAX_SPELLING_CHARACTERS

    def _add_samples(self, column: int, cells: Mapping[str, Cell]) -> None:
        for kind, columns in self.samples.items():
            samples = columns[column]
            if len(samples) < MAX_SAMPLES:
                texts = (text for text, cell in cells.items() if cell.kind is kind)
                new = (text for text in texts if text not in samples)
                samples += islice(new, MAX_SAMPLES - len(samples))

    def _give_up(self, column: int, reason: GivenUp) -> None:
        texts = self.texts[column]
        self._count -= len(texts)
        self._characters -= sum(map(len, texts))
        self.texts[column], self.is_kept[column] = {}, False
        self.given_up[column] = reason
