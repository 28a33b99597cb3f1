"""A job's history as arrays: pages put together, non-finite values put back. Draws nothing.

With numpy the arrays are numpy's (int64, float64); without it they are array.array ('q', 'd'). A
recorded float32 is the same number as a double, so it compares equal bit for bit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tickforge_client.http import Session, path_of

#: ticks a page: the most the server gives
PAGE = 100_000
Numbers = Any  # numpy.ndarray, or array.array where numpy is not installed
Answer = dict[str, Any]  # a history answer as JSON


class Sparse(NamedTuple):
    """A column with values at some ticks: `state` has hex digests, all others numbers."""

    tick: Numbers
    value: Any


@dataclass(frozen=True)
class History:
    """Columns over ticks: history["loss"] is an array as long as `tick`, or a Sparse."""

    job_id: str
    tick: Numbers
    columns: Mapping[str, Any]
    last_tick: int
    complete: bool

    def __getitem__(self, column: str) -> Any:
        return self.columns[column]

    def __len__(self) -> int:
        return len(self.tick)


def read(
    session: Session,
    job_id: str,
    columns: Sequence[str],
    *,
    after: int = 0,
    before: int | None = None,
    last: int | None = None,
) -> Answer:
    """All ticks asked for in one answer; `after` and `before` are exclusive, `last` the newest."""
    path = path_of("jobs", job_id, "history")
    asked: dict[str, Any] = {"columns": ",".join(columns)}
    if last is not None and last > PAGE:
        newest = session.get(path, {**asked, "last": 1})["last_tick"]
        after, last = max(0, newest - last), None
    if last is not None:
        answer: Answer = session.get(path, {**asked, "last": last})
        return answer
    if before is not None:
        asked["before"] = before
    return _joined(_pages(session, path, {**asked, "limit": PAGE}, after))


def arrays(answer: Answer, columns: Sequence[str]) -> History:
    """An answer's lists as arrays."""
    odd: dict[str, dict[int, str]] = {}
    for entry in answer.get("nonfinite", []):
        odd.setdefault(entry["column"], {})[entry["tick"]] = entry["value"]
    ticks = answer.get("tick", [])
    return History(
        job_id=answer["job_id"],
        tick=_array("q", ticks),
        columns={name: _column(answer[name], ticks, odd.get(name, {})) for name in columns},
        last_tick=answer["last_tick"],
        complete=answer["complete"],
    )


def csv(session: Session, job_id: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
    """The range as CSV, in pieces as they arrive."""
    path = path_of("jobs", job_id, "history")
    with session.stream(path, params=asked, headers={"Accept": "text/csv"}) as answer:
        yield from answer.iter_bytes()


def _pages(session: Session, path: str, asked: Mapping[str, Any], after: int) -> Iterator[Answer]:
    position: int | None = after
    while position is not None:
        page = session.get(path, {**asked, "after": position})
        position = page["next_after"]
        yield page


def _joined(pages: Iterator[Answer]) -> Answer:
    """One answer made of many: lists grow, all else is the last page's."""
    whole = next(pages)
    for page in pages:
        for name, value in page.items():
            if isinstance(value, list):
                whole[name].extend(value)
            elif isinstance(value, dict):
                for part in ("tick", "value"):
                    whole[name][part].extend(value[part])
            else:
                whole[name] = value
    return whole


def _column(values: Any, ticks: Sequence[int], odd: Mapping[int, str]) -> Any:
    if isinstance(values, Mapping):
        at, values = values["tick"], values["value"]
        if values and isinstance(values[0], str):
            return Sparse(_array("q", at), values)
        return Sparse(_array("q", at), _array("d", _restored(values, at, odd)))
    return _array("d", _restored(values, ticks, odd))


def _restored(
    values: Sequence[float | None], ticks: Sequence[int], odd: Mapping[int, str]
) -> Sequence[Any]:
    """Put nan, inf and -inf back where JSON has null."""
    if not odd:
        return values
    pairs = zip(values, ticks, strict=True)
    return [float(odd.get(tick, "nan")) if value is None else value for value, tick in pairs]


def _array(code: str, values: Sequence[Any]) -> Numbers:
    plain = array(code, values)
    try:
        import numpy
    except ImportError:
        return plain
    return numpy.asarray(plain)
