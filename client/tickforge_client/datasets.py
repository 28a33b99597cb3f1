"""A dataset on the server: its profile, its rows, its bytes. Prints nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from tickforge_client.blocking import blocking, blocking_iterator
from tickforge_client.downloads import RemoteFile, download_file
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path
from tickforge_client.uploads import FileBody, media_type_of

#: rows per request
PAGE_ROWS = 1000


class DatasetFields:
    """An uploaded dataset; `fields` is the server's JSON."""

    def __init__(self, session: ApiSession, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self._session = session

    def __repr__(self) -> str:
        return f"<Dataset {self.id} {self.type} {self.bytes} bytes>"

    @property
    def id(self) -> str:
        """The dataset's id."""
        return str(self.fields["id"])

    @property
    def name(self) -> str:
        """The display name."""
        return str(self.fields["name"])

    @property
    def type(self) -> str:
        """The media type."""
        return str(self.fields["type"])

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return str(self.fields["sha256"])

    @property
    def bytes(self) -> int:
        """Size of the content in bytes."""
        return int(self.fields["bytes"])

    @property
    def row_count(self) -> int | None:
        """Number of rows; None for a text."""
        rows: int | None = self.fields["rows"]
        return rows

    @property
    def columns(self) -> list[Mapping[str, Any]]:
        """Profiles of a table's columns: name, type, min, max, distinct, classes; else empty."""
        return list(self.fields["columns"] or [])

    @property
    def notes(self) -> list[Mapping[str, Any]]:
        """What is doubtful about the data: code, column (None: the whole), detail. Or empty."""
        return list(self.fields.get("notes") or [])


DatasetT = TypeVar("DatasetT")


class DatasetCalls(DatasetFields, Generic[DatasetT]):
    """The calls of a dataset, written once as coroutines."""

    async def rows(
        self, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the rows after row number `after` (rows count from 1), at most `limit` of them."""
        remaining = limit
        while remaining is None or remaining > 0:
            page_rows = PAGE_ROWS if remaining is None else min(PAGE_ROWS, remaining)
            query = {"after": after, "limit": page_rows}
            page = await self._session.get(api_path("datasets", self.id, "rows"), query)
            for row in page["data"]:
                yield row
            if not page["has_more"]:
                return
            after = int(page["next_after"])
            remaining = None if remaining is None else remaining - len(page["data"])

    async def download(
        self, path: str | Path, on_bytes: Callable[[int], None] | None = None
    ) -> Path:
        """Download the content into the file `path` and return that path.

        Resumes an interrupted download. The file gets its name only once its sha256 is verified.
        `on_bytes` is called with the number of bytes received so far. Raises CorruptDownload,
        Problem, Unreachable.
        """
        target = Path(path)
        remote = RemoteFile(api_path("datasets", self.id, "content"), self.bytes, self.sha256)
        await download_file(self._session, remote, target, on_bytes)
        return target

    async def append(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        type: str | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> DatasetT:
        """Stream a file with further rows of the same form; return the dataset of all rows.

        `type` is its media type, by default that of the file's suffix; how its bytes are read is as
        at this dataset's upload. This dataset stays as it is. `on_bytes` is called with the number
        of bytes sent so far. Raises InvalidRequest with row, column and value where a row does not
        fit: then nothing is stored.
        """
        file = Path(path)
        params = {} if name is None else {"name": name}
        address = api_path("datasets", self.id, "append")
        body = FileBody(file, on_bytes)
        fields = await self._session.upload(address, params, body, type or media_type_of(file))
        return cast(DatasetT, self.__class__(self._session, fields))

    async def delete(self) -> None:
        """Delete the dataset permanently. Raises Conflict while a live job uses it."""
        await self._session.delete(api_path("datasets", self.id))


class AsyncDataset(DatasetCalls["AsyncDataset"]):
    """An uploaded dataset: `async for row in dataset.rows()`."""


class Dataset(DatasetFields):
    """An uploaded dataset; `fields` is the server's JSON."""

    _calls = DatasetCalls["Dataset"]

    rows = blocking_iterator(_calls.rows)
    download = blocking(_calls.download)
    append = blocking(_calls.append)
    delete = blocking(_calls.delete)
