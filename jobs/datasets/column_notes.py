"""Tell what is doubtful about the columns of an uploaded table, and the way out."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from jobs.datasets.column_spellings import MAX_CLASS_CHARACTERS
from jobs.datasets.formats.cells import NUMBER_PATTERN, Kind
from jobs.datasets.lookalikes import are_ambiguous_dates, find_similar, suggest_number
from jobs.datasets.table_scanner import TableScanner
from jobs.spec.profiles import MAX_CLASSES, Column, Note

MAX_NOTES = 20  # of one code
MAX_SHOWN_CHARACTERS = 60
MIN_ROWS = 20  # of fewer rows it is no wonder that all values differ
LEADING_ZERO = re.compile(r"\s*[+-]?0\d")
FEATURE_RULE = "leave it out by data.exclude, unless its values say something of other rows"


def find_notes(scanner: TableScanner, columns: Sequence[Column]) -> list[Note]:
    """Return the notes of a table in the order of its columns, of each code at most 20."""
    notes = [*_header_notes(columns)]
    for at, column in enumerate(columns):
        notes += ColumnNotes(scanner, column, at).find()
    return _limit(notes)


class ColumnNotes:
    """Finds the notes of one column."""

    def __init__(self, scanner: TableScanner, column: Column, at: int) -> None:
        self._scanner, self._column, self._at = scanner, column, at
        self._present = scanner.rows - column.missing
        self._texts = scanner.spellings.samples[Kind.TEXT][at]

    def find(self) -> Iterator[Note]:
        """Yield the notes."""
        if self._column.type == "empty":
            yield self._note("empty", "no cell has a value")
            return
        yield from self._find_gaps()
        if self._column.type in ("category", "text"):
            yield from self._find_mixed()
            yield from self._find_texts()
        zeros = [text for text in self._column.spellings or [] if LEADING_ZERO.match(text)]
        if self._column.type == "number" and zeros:
            rule = f'{_show(zeros[0])} has leading zeros; data.types with "category" keeps them'
            yield self._note("leading_zeros", rule)
        if self._column.distinct == 1 and not self._column.missing:
            yield self._note("constant", "all rows have the same value: nothing is learned from it")

    def _find_gaps(self) -> Iterator[Note]:
        if missing := self._column.missing:
            row = self._first_row(Kind.MISSING)
            yield self._note(
                "missing",
                f"{missing:,} of {self._scanner.rows:,} cells have no value, the first in row "
                f"{row}; data.missing says what a job that uses the column makes of them",
            )

    def _find_mixed(self) -> Iterator[Note]:
        """Yield notes of texts among numbers or times, or in place of them."""
        numbers, times = self._scanner.counts[[Kind.NUMBER, Kind.TIME], self._at].tolist()
        if self._column.non_numbers == 0:
            yield self._note(
                "numbers_as_texts",
                'all its texts are numbers; data.types with "number" reads them as such',
            )
        elif are_ambiguous_dates(self._texts):
            yield self._note(
                "ambiguous_dates",
                f"{self._describe_first(Kind.TEXT)}; nobody can tell the day from the month. Write "
                "dates as YYYY-MM-DD to have them read as times",
            )
        elif 2 * times >= self._present:
            others = self._describe_others(times, "dates or times", Kind.TEXT, Kind.NUMBER)
            yield self._note("mostly_times", others)
        else:
            suggestion = suggest_number(self._texts)
            if suggestion or 2 * numbers >= self._present:
                detail = self._describe_others(numbers, "numbers", Kind.TEXT, Kind.TIME)
                default = "if they mean missing values, upload the file with missing="
                default += (self._texts or ["TOKEN"])[0].strip()[:MAX_SHOWN_CHARACTERS]
                yield self._note("mostly_numbers", f"{detail}; {suggestion or default}")

    def _find_texts(self) -> Iterator[Note]:
        """Yield notes of the different texts of a column."""
        reason = self._scanner.spellings.given_up.get(self._at)
        if reason == "long":
            rule = f"it has texts of more than {MAX_CLASS_CHARACTERS} characters: it is a text"
            yield self._note("long_text", f"{rule}, no category")
        elif reason == "many":
            rule = f"it has more than {MAX_CLASSES:,} different texts: it is a text, no category"
            yield self._note("many_texts", f"{rule}; {FEATURE_RULE}")
        elif reason == "memory":
            rule = "all columns together have too many different texts, and this one many of them"
            yield self._note("many_texts", f"{rule}: it is a text, no category")
        distinct = self._column.distinct or 0
        if distinct > MIN_ROWS and 2 * distinct > self._present:
            rule = f"{distinct:,} different texts in {self._present:,} cells, an input for each"
            yield self._note("nearly_unique", f"{rule}: {FEATURE_RULE}")
        if similar := find_similar(self._column.classes or []):
            first, second = map(_show, similar)
            rule = f"{first} and {second} differ only in case or blanks, and are two classes"
            yield self._note("similar_classes", rule)

    def _describe_others(self, fitting: int, name: str, *kinds: Kind) -> str:
        """Tell how many cells are no numbers, or no times, but of `kinds`, and which is first."""
        others = self._present - fitting
        first = self._describe_first(*kinds)
        return f"{others:,} of {self._present:,} cells are no {name}: {first}"

    def _describe_first(self, *kinds: Kind) -> str:
        """Tell the first cell of these kinds, and the others of its kind that are known."""
        row, kind = min((row, kind) for kind in kinds if (row := self._first_row(kind)))
        samples = self._scanner.spellings.samples.get(kind)
        if not samples or not samples[self._at]:
            return f"the first is in row {row}"
        first, *others = map(_show, samples[self._at][:3])
        return f"the first is {first} in row {row}" + (f", then {', '.join(others)}" * bool(others))

    def _first_row(self, kind: Kind) -> int:
        return int(self._scanner.first_rows[kind, self._at])

    def _note(self, code: str, detail: str) -> Note:
        return Note(code=code, column=self._column.name, detail=detail)


def _header_notes(columns: Sequence[Column]) -> Iterator[Note]:
    """Yield a note if names of columns are numbers, or classes of their own column."""
    names = _number_names(columns)
    names += [column.name for column in columns if column.name in (column.classes or [])]
    if names:
        listed = ", ".join(map(_show, names[:3]))
        detail = f"columns are named {listed}; if the first line is data, upload with header=absent"
        yield Note(code="header_like_data", detail=detail)


def _number_names(columns: Sequence[Column]) -> list[str]:
    """Return the names that are numbers, unless they count, as 0, 1, 2 or years do."""
    names = [column.name for column in columns if NUMBER_PATTERN.fullmatch(column.name.strip())]
    numbers = list(map(float, names))
    steps = [b - a for a, b in zip(numbers, numbers[1:], strict=False)]
    return [] if steps and set(steps) == {1} else names


def _limit(notes: Iterable[Note]) -> list[Note]:
    """Keep the first 20 notes of each code, and tell how many more there are."""
    shown: list[Note] = []
    counts: Counter[str] = Counter()
    for note in notes:
        counts[note.code] += 1
        if counts[note.code] <= MAX_NOTES:
            shown.append(note)
    for code, count in counts.items():
        if count > MAX_NOTES:
            detail = f"{count - MAX_NOTES:,} more columns have such a note"
            shown.append(Note(code=code, detail=detail))
    return shown


def _show(text: str) -> str:
    """Return a text as it is shown in a note."""
    short = text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "…"
    return repr(short)
