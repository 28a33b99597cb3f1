"""Records that the disk refused after the store had changed: named in the store until written.

The client was told so, and may send its request again; else `jobs/archive/upkeep.py` writes them.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from jobs.errors import DiskUnavailable, NotArchived, StoreFull
from jobs.store import keys
from jobs.store.connection import OutOfMemory, Store

RecordOwner = Literal["job", "dataset", "key", "tenant", "webhook"]


class OwedRecord(NamedTuple):
    """What has no up-to-date record; a key has no tenant here, and a tenant no other id."""

    owner: RecordOwner
    tenant: str
    id: str


class OwedRecords:
    """The set of owed records."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextlib.contextmanager
    def owe_on_error(self, owner: RecordOwner, tenant: str, record_id: str) -> Iterator[None]:
        """Note the record as owed, and raise NotArchived, where the block's disk refuses it."""
        try:
            yield
        except (StoreFull, DiskUnavailable) as error:
            self.add(OwedRecord(owner, tenant, record_id))
            raise NotArchived(str(error)) from error

    def add(self, record: OwedRecord) -> None:
        """Note that a record is owed."""
        with contextlib.suppress(OutOfMemory):  # the client was told to send its request again
            self._store.sadd(keys.OWED_RECORDS, " ".join(record))

    def discard(self, record: OwedRecord) -> bool:
        """Forget that a record is owed; return whether it was."""
        return bool(self._store.srem(keys.OWED_RECORDS, " ".join(record)))

    def pop(self) -> OwedRecord | None:
        """Return an owed record, which is no longer noted; None if there is none."""
        member: Any = self._store.spop(keys.OWED_RECORDS)
        return OwedRecord(*member.decode().split(" ")) if member else None
