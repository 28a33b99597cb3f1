"""A dataset on the server: what is known of it, its rows, its bytes. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tickforge_client.downloads import Remote, fetch
from tickforge_client.http import Session, path_of

#: rows asked for at a time
PAGE = 1000


class Dataset:
    """An uploaded dataset; `fields` is the server's JSON."""

    def __init__(self, session: Session, fields: Mapping[str, Any]) -> None:
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
        left = limit
        while left is None or left > 0:
            asked = {"after": after, "limit": PAGE if left is None else min(PAGE, left)}
            page = self._session.get(path_of("datasets", self.id, "rows"), asked)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = int(page["next_after"])
            left = None if left is None else left - len(page["data"])

    def download(self, path: str | Path, on_bytes: Callable[[int], None] | None = None) -> Path:
        """Bring its bytes to the file `path` and return that.

        A download that was cut short goes on where it stopped; the file gets its name once its
        sha256 is right. ON_BYTES hears how many bytes are here.
        """
        target = Path(path)
        remote = Remote(path_of("datasets", self.id, "content"), self.bytes, self.sha256)
        fetch(self._session, remote, target, on_bytes)
        return target

    def delete(self) -> None:
        """Remove it, for good; raises Conflict while a live job uses it."""
        self._session.delete(path_of("datasets", self.id))
