"""Recognize texts that people mean as numbers or dates, and tell how to have them read so."""

import re
from collections.abc import Sequence

#: dates of which nobody can tell the day from the month, or the year
AMBIGUOUS_DATE = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(\d{4}|\d{2})( .*)?", re.ASCII)
BLANKS = "[ \u00a0\u202f]"
#: what texts look like -> what to do; the first form that all texts have counts
NUMBER_FORMS = (
    (
        re.compile(r"[+-]?[1-9]\d{0,2},\d{3}"),
        "they look like numbers with commas, between groups of digits or before decimals: upload "
        "the file with thousands=comma or with decimal=comma",
    ),
    (
        re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?"),
        "they look like numbers with commas between groups of digits: upload the file with "
        "thousands=comma",
    ),
    (
        re.compile(r"[+-]?\d*,\d+"),
        "they look like numbers with decimal commas: upload the file with decimal=comma",
    ),
    (
        re.compile(r"[+-]?(\d{1,3}(\.\d{3})*,\d+|[1-9]\d{0,2}(\.\d{3})+)"),
        "they look like numbers with decimal commas and points between groups of digits: upload "
        "the file with decimal=comma and thousands=point",
    ),
    (
        re.compile(rf"[+-]?[1-9]\d{{0,2}}({BLANKS}\d{{3}})+(\.\d*)?"),
        "they look like numbers with blanks between groups of digits: upload the file with "
        "thousands=space",
    ),
    (
        re.compile(rf"[+-]?(\d{{1,3}},\d+|[1-9]\d{{0,2}}({BLANKS}\d{{3}})+(,\d+)?)"),
        "they look like numbers with decimal commas and blanks between groups of digits: upload "
        "the file with decimal=comma and thousands=space",
    ),
    (
        re.compile(r"[+-]?[$€£¥] ?-?\d[\d.,]*|[+-]?\d[\d.,]* ?[$€£¥%]"),
        "they look like numbers with a sign beside them: write the numbers alone",
    ),
)


def suggest_number(texts: Sequence[str]) -> str:
    """Return what to do about texts that all look like numbers of one form, or ""."""
    stripped = [text.strip() for text in texts]
    for pattern, suggestion in NUMBER_FORMS if stripped else ():
        if all(map(pattern.fullmatch, stripped)):
            return suggestion
    return ""


def are_ambiguous_dates(texts: Sequence[str]) -> bool:
    """Return whether texts look like dates whose day and month nobody can tell apart."""
    return bool(texts) and all(AMBIGUOUS_DATE.fullmatch(text.strip()) for text in texts)


def find_similar(texts: Sequence[str]) -> tuple[str, str] | None:
    """Return two texts that differ only in case or blanks, or None."""
    known: dict[str, str] = {}
    for text in texts:
        other = known.setdefault(" ".join(text.split()).casefold(), text)
        if other != text:
            return other, text
    return None
