"""A dataset on the server: what is known of it, its rows, its bytes. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tickforge_client.downloads import RemoteFile, download_file
from tickforge_client.http import ApiSession, api_path

#: rows asked for at a time
PAGE_ROWS = 1000


class Dataset:
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
        """Its name, for people."""
        return str(self.fields["name"])

    @property
    def type(self) -> str:
        """Its media type."""
        return str(self.fields["type"])

    @property
    def sha256(self) -> str:
        """What its bytes hash to."""
        return str(self.fields["sha256"])

    @property
    def bytes(self) -> int:
        """How many bytes it has."""
        return int(self.fields["bytes"])

    @property
    def row_count(self) -> int | None:
        """How many rows it has; None for a text."""
        rows: int | None = self.fields["rows"]
        return rows

    @property
    def columns(self) -> list[Mapping[str, Any]]:
        """The columns of a table: name, type, min, max, distinct, classes."""
        return list(self.fields["columns"] or [])

    def rows(self, *, after: int = 0, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield rows behind row `after` (0: from the first), all of them or at most `limit`."""
        remaining = limit
        while remaining is None or remaining > 0:
            query = {
                "after": after,
                "limit": PAGE_ROWS if remaining is None else min(PAGE_ROWS, remaining),
            }
            page = self._session.get(api_path("datasets", self.id, "rows"), query)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = int(page["next_after"])
            remaining = None if remaining is None else remaining - len(page["data"])

    def download(self, path: str | Path, on_bytes: Callable[[int], None] | None = None) -> Path:
        """Bring its bytes to the file `path` and return that.

        A download that was cut short goes on where it stopped; the file gets its name once its
        sha256 is right. ON_BYTES hears how many bytes are here.
        """
        target = Path(path)
        remote = RemoteFile(api_path("datasets", self.id, "content"), self.bytes, self.sha256)
        download_file(self._session, remote, target, on_bytes)
        return target

    def delete(self) -> None:
        """Remove it, for good; raises Conflict while a live job uses it."""
        self._session.delete(api_path("datasets", self.id))
