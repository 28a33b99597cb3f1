"""Reads a job's history into arrays: joins pages, restores non-finite values. Draws nothing.

The arrays are numpy's (int64, float64), or array.array ('q', 'd') where numpy is not installed.
Every recorded float32 is exactly representable as a double.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tickforge_client.errors import MissingPackage
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path

#: ticks per page: the server's maximum
PAGE_TICKS = 100_000
Numbers = Any  # numpy.ndarray, or array.array where numpy is not installed
HistoryJson = dict[str, Any]  # a response of GET …/history


class Sparse(NamedTuple):
    """A column with values at some ticks only: hex digests for `state`, numbers for all others."""

    tick: Numbers
    value: Any


@dataclass(frozen=True)
class History:
    """Columns over ticks: history["loss"] is an array of the length of `tick`, or a Sparse."""

    job_id: str
    tick: Numbers
    columns: Mapping[str, Any]
    last_tick: int
    complete: bool

    def __getitem__(self, column: str) -> Any:
        return self.columns[column]

    def __len__(self) -> int:
        return len(self.tick)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with a row a tick and a column each; needs pandas.

        Where a sparse column has no value there is NaN. Raises MissingPackage.
        """
        try:
            import pandas
        except ImportError as error:
            text = "a data frame needs pandas: pip install 'tickforge-client[pandas]'"
            raise MissingPackage(text) from error
        series = []
        for name, column in self.columns.items():
            ticks, values = column if isinstance(column, Sparse) else (self.tick, column)
            series.append(pandas.Series(values, pandas.Index(ticks, dtype="int64"), name=name))
        return pandas.concat(series, axis=1).sort_index().rename_axis("tick")


async def read(
    session: ApiSession,
    job_id: str,
    columns: Sequence[str],
    *,
    after: int = 0,
    before: int | None = None,
    last: int | None = None,
    lineage: bool = False,
) -> HistoryJson:
    """Return the requested ticks as one document, joined from as many pages as needed.

    `after` and `before` are exclusive bounds; `last` requests the newest ticks instead. With
    `lineage` a fork's has the ticks before its own, too.
    """
    path = api_path("jobs", job_id, "history")
    query: dict[str, Any] = {"columns": ",".join(columns)}
    if lineage:
        query["lineage"] = "true"
    if last is not None and last > PAGE_TICKS:
        after, last = (
            max(0, (await session.get(path, {**query, "last": 1}))["last_tick"] - last),
            None,
        )
    if last is not None:
        return await session.get(path, {**query, "last": last})
    if before is not None:
        query["before"] = before
    return await _merge_pages(_fetch_pages(session, path, {**query, "limit": PAGE_TICKS}, after))


def to_arrays(document: HistoryJson, columns: Sequence[str]) -> History:
    """Convert the lists of a history document to arrays."""
    nonfinite: dict[str, dict[int, str]] = {}
    for entry in document.get("nonfinite", []):
        nonfinite.setdefault(entry["column"], {})[entry["tick"]] = entry["value"]
    ticks = document.get("tick", [])
    arrays = {name: _to_column(document[name], ticks, nonfinite.get(name, {})) for name in columns}
    return History(
        job_id=document["job_id"],
        tick=_make_array("q", ticks),
        columns=arrays,
        last_tick=document["last_tick"],
        complete=document["complete"],
    )


async def stream_csv(
    session: ApiSession, job_id: str, query: Mapping[str, Any]
) -> AsyncIterator[bytes]:
    """Yield the history as CSV, in chunks of bytes as they arrive."""
    path = api_path("jobs", job_id, "history")
    async with session.stream(path, params=query, headers={"Accept": "text/csv"}) as response:
        async for piece in response.pieces:
            yield piece


async def _fetch_pages(
    session: ApiSession, path: str, query: Mapping[str, Any], after: int
) -> AsyncIterator[HistoryJson]:
    position: int | None = after
    while position is not None:
        page = await session.get(path, {**query, "after": position})
        position = page["next_after"]
        yield page


async def _merge_pages(pages: AsyncIterator[HistoryJson]) -> HistoryJson:
    """Join pages into one document: lists are concatenated, other fields are the last page's."""
    merged = await anext(pages)
    async for page in pages:
        for name, value in page.items():
            if isinstance(value, list):
                merged[name].extend(value)
            elif isinstance(value, dict):
                for part in ("tick", "value"):
                    merged[name][part].extend(value[part])
            else:
                merged[name] = value
    return merged


def _to_column(values: Any, ticks: Sequence[int], nonfinite: Mapping[int, str]) -> Any:
    if isinstance(values, Mapping):
        sparse_ticks, values = values["tick"], values["value"]
        if not values or not isinstance(values[0], str):
            values = _make_array("d", _restore_nonfinite(values, sparse_ticks, nonfinite))
        return Sparse(_make_array("q", sparse_ticks), values)
    return _make_array("d", _restore_nonfinite(values, ticks, nonfinite))


def _restore_nonfinite(
    values: Sequence[float | None], ticks: Sequence[int], nonfinite: Mapping[int, str]
) -> Sequence[Any]:
    """Put nan, inf and -inf back where JSON has null."""
    if not nonfinite:
        return values
    pairs = zip(values, ticks, strict=True)
    return [float(nonfinite.get(tick, "nan")) if value is None else value for value, tick in pairs]


def _make_array(code: str, values: Sequence[Any]) -> Numbers:
    plain = array(code, values)
    try:
        import numpy
    except ImportError:
        return plain
    return numpy.asarray(plain)
