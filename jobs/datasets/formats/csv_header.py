"""Read what the first lines of a CSV say: columns, a spreadsheet's `sep=`, signs of a mistake."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from jobs.datasets.formats.cells import NUMBER_PATTERN
from jobs.datasets.formats.data_errors import data_error
from jobs.datasets.formats.table import DELIMITERS
from jobs.spec.profiles import Delimiter, Note

DELIMITER_NAMES = {sign: name for name, sign in DELIMITERS.items()}
SEP_LINE = re.compile(rb'"?sep=(.)"?\r?(\n|$)')


class ColumnNames(NamedTuple):
    """The names of the columns, the position of a nameless row index, and what is doubtful."""

    names: list[str]
    index_column: int | None
    notes: list[Note]


def take_sep_line(data: bytes, delimiter: Delimiter) -> tuple[int, list[Note]]:
    """Return the length of a first line `sep=;` (0: there is none), and a note of it.

    Raises BadData if it names another delimiter than the upload.
    """
    match = SEP_LINE.match(data)
    if match is None:
        return 0, []
    sign = match[1].decode(errors="replace")
    name = DELIMITER_NAMES.get(sign)
    if name is None:
        raise data_error("a first line sep= with a delimiter that is known", f"sep={sign}")
    if name != delimiter:
        raise data_error(
            f"the delimiter that its first line names: upload it with delimiter={name}, "
            f"not {delimiter}",
            f"sep={sign}",
        )
    detail = f"the first line, sep={sign}, is no row: it names the delimiter"
    return match.end(), [Note(code="sep_line", detail=detail)]


def number_columns(first_row: Sequence[str]) -> ColumnNames:
    """Name the columns of a file without a header: c1, c2, ..."""
    return ColumnNames([f"c{at}" for at in range(1, len(first_row) + 1)], None, [])


def complete_names(header: Sequence[str], first_row: Sequence[str]) -> ColumnNames:
    """Name the columns that the header leaves nameless, by their position.

    A delimiter at the end of the header alone, or of the rows alone, is forgiven. Raises BadData
    for a header that can only be data.
    """
    names = list(header)
    if len(first_row) == len(names) - 1 and _is_blank(names[-1]):
        names.pop()
    elif len(first_row) == len(names) + 1 and _is_blank(first_row[-1]):
        names.append("")
    _check_not_data(names)
    is_nameless = [_is_blank(name) for name in names]
    index = 0 if is_nameless[0] and len(names) > 1 else None
    completed = [
        f"column_{at}" if nameless else name
        for at, (name, nameless) in enumerate(zip(names, is_nameless, strict=True), start=1)
    ]
    notes = [_index_note()] if index == 0 else []
    notes += [
        _nameless_note(name) for at, name in enumerate(completed) if is_nameless[at] and at != index
    ]
    return ColumnNames(completed, index, notes)


def suggest_delimiter(lines: Sequence[str], delimiter: Delimiter) -> str:
    """Return a sentence that suggests another delimiter where all lines have as many, or ""."""
    for sign, name in DELIMITER_NAMES.items():
        counts = {line.count(sign) for line in lines}
        if name not in (delimiter, "space") and len(counts) == 1 and counts != {0}:
            return f"every line so far has {counts.pop()} of {sign!r}: is it delimiter={name}?"
    counts = {len(line.split()) for line in lines}
    is_spaced = len(counts) == 1 and counts != {1} and _has_number(lines[-1].split())
    if delimiter != "space" and is_spaced:
        return f"every line so far has {counts.pop()} words: is it delimiter=space?"
    return ""


def _check_not_data(names: Sequence[str]) -> None:
    """Refuse names that are repeated numbers: pixels, measurements."""
    if len(set(names)) < len(names) and _has_number(names):
        rule = "a header with a name of its own for every column; if the first line is data, "
        raise data_error(rule + "upload the file with header=absent", ",".join(names)[:200])


def _has_number(texts: Sequence[str]) -> bool:
    return any(NUMBER_PATTERN.fullmatch(text.strip()) for text in texts)


def _is_blank(name: str) -> bool:
    return not name.strip()


def _index_note() -> Note:
    detail = (
        "the first column has no name, as the row index that pandas and R write; it is called "
        "column_1 and is no feature unless a spec names it. Write the file without it: "
        "to_csv(..., index=False) in pandas, write.csv(..., row.names=FALSE) in R"
    )
    return Note(code="index", column="column_1", detail=detail)


def _nameless_note(name: str) -> Note:
    detail = f"the header has no name for this column, so it is called {name}"
    return Note(code="nameless", column=name, detail=detail)
