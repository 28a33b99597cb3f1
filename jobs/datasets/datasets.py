"""The datasets of a tenant: added, found, listed, deleted. Knows no HTTP and no format.

A dataset's id is made of its bytes, type and delimiter with the tenant's secret: the same upload
gives the same dataset, and no id tells one tenant what another has.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from jobs import keys, tenants
from jobs.archive.holdings import Holdings
from jobs.archive.shelf import Room
from jobs.datasets.blobs import Blobs
from jobs.datasets.dataset import Dataset, Stored, read
from jobs.datasets.upload import Received, Upload
from jobs.errors import DatasetInUse, Gone, IdempotencyMismatch, InWork, NoSuchDataset
from jobs.files import Files, full_disk_told
from jobs.ids import dataset_id, is_dataset_id
from jobs.scripts import Scripts
from jobs.spec.datasets import Known
from jobs.spec.profiles import Delimiter, MediaType
from jobs.store import Store
from jobs.walk import Page, Walk, sequence_of

#: how long an idempotency key is held for an upload of which nothing more is heard
HELD_SECONDS = 120


@dataclass(frozen=True)
class Added:
    """The dataset of an upload, and the status that its first answer has or had."""

    dataset: Dataset
    status: Literal[200, 201]
    replayed: bool


class Datasets:
    """Everything that is asked of datasets."""

    def __init__(self, store: Store, files: Files, *, most_bytes: int) -> None:
        self._store, self._most = store, most_bytes
        self._scripts = Scripts(store)
        self.blobs = Blobs(store, files)
        self._holdings = Holdings(store, files)

    def upload(self, kind: MediaType, delimiter: Delimiter) -> Upload:
        """Begin an upload; see Upload. Raises StoreFull."""
        self.blobs.sweep()
        return Upload(self.blobs, kind, delimiter, most_bytes=self._most)

    @contextmanager
    def in_work(self, tenant: str, key: str | None) -> Iterator[Callable[[], None]]:
        """Hold an idempotency key while its upload comes in; call what this gives now and then.

        Raises InWork where another request holds it. A holder that died lets go after a while.
        """
        if key is None:
            yield lambda: None
            return
        name = keys.in_work(tenant, key)
        if not self._store.set(name, "1", nx=True, ex=HELD_SECONDS):
            raise InWork(key)
        renewed = time.monotonic()

        def still() -> None:
            nonlocal renewed
            if time.monotonic() - renewed > HELD_SECONDS / 10:
                self._store.expire(name, HELD_SECONDS)
                renewed = time.monotonic()

        try:
            yield still
        finally:
            self._store.delete(name)

    def add(
        self, tenant: str, received: Received, *, name: str, idempotency_key: str | None = None
    ) -> Added:
        """Make an upload a dataset, durable when this returns, or find the one it is already.

        Raises IdempotencyMismatch, Gone or StoreFull; then nothing was stored.
        """
        form = (received.type, received.delimiter, received.sha256)
        with self._holdings.room() as kept:
            return self._add(tenant, received, form, kept, name, idempotency_key)

    def _add(
        self, tenant: str, received: Received, form: tuple[str, str, str], kept: Room,
        name: str, idempotency_key: str | None,
    ) -> Added:  # fmt: skip
        secret = tenants.secret(self._store, tenant)
        self._holdings.secret(tenant)
        with full_disk_told():
            path = self.blobs.place(received.path, received.sha256)
        header = {
            "tenant": tenant,
            "id": dataset_id(secret, *form),
            "name": name,
            "type": received.type,
            "delimiter": received.delimiter,
            "sha256": received.sha256,
            "bytes": received.bytes,
            "path": path,
            "marks": json.dumps(received.marks),
            "idempotency_key": idempotency_key,
            "body_digest": hashlib.sha256(json.dumps([*form, name]).encode()).hexdigest(),
        }
        profile = received.profile.model_dump_json(exclude_none=True)
        try:
            answer, *rest = self._scripts.call("add_dataset", header, profile)
        finally:
            self._discard_if_doomed(path)
        if answer == b"mismatch":
            raise IdempotencyMismatch(idempotency_key)
        if answer == b"gone":
            raise Gone(idempotency_key)
        assert answer != b"late", "an hour has passed between two commands"
        status: Literal[200, 201] = 201 if rest[1] == b"201" else 200
        self._holdings.dataset(tenant, rest[0].decode(), kept)
        stored = self.find(tenant, rest[0].decode())
        return Added(stored.dataset, status, replayed=answer == b"replayed")

    def find(self, tenant: str, dataset_id: str) -> Stored:
        """Read one dataset. Raises NoSuchDataset."""
        if not is_dataset_id(dataset_id):
            raise NoSuchDataset(dataset_id)
        record: dict[bytes, bytes] = self._store.hgetall(keys.dataset(tenant, dataset_id))  # type: ignore[assignment]
        if not record:
            raise NoSuchDataset(dataset_id)
        return read(record)

    def known(self, tenant: str, dataset_id: str) -> Known | None:
        """Return what a spec is checked against; None where the tenant has no such dataset."""
        try:
            return self.find(tenant, dataset_id).known
        except NoSuchDataset:
            return None

    def page(
        self, tenant: str, *, limit: int, after: str | None = None, descending: bool = True
    ) -> Page[Dataset]:
        """Read a page of a tenant's datasets. Raises BadCursor."""
        walk = Walk(self._store, keys.datasets(tenant), sequence_of(after), descending)
        members = walk.next(limit + 1)
        with self._store.pipeline(transaction=False) as pipe:
            for each, _ in members[:limit]:
                pipe.hgetall(keys.dataset(tenant, each.decode()))
            found = [read(record).dataset for record in pipe.execute() if record]
        last = str(int(members[limit - 1][1])) if len(members) > limit else None
        return Page(found, last)

    def open(self, tenant: str, stored: Stored) -> BinaryIO:
        """Open a dataset's bytes. Raises NoSuchDataset where it was deleted since it was found."""
        try:
            return self.blobs.open(stored.path)
        except FileNotFoundError:
            self.find(tenant, stored.dataset.id)
            raise

    def delete(self, tenant: str, dataset_id: str) -> None:
        """Remove a dataset. Raises NoSuchDataset, or DatasetInUse while a live job uses it."""
        if not is_dataset_id(dataset_id):
            raise NoSuchDataset(dataset_id)
        header = {"tenant": tenant, "id": dataset_id}
        answer, *rest = self._scripts.call("delete_dataset", header)
        if answer == b"gone":
            self._holdings.assure_dataset_deleted(tenant, dataset_id)
            raise NoSuchDataset(dataset_id)
        if answer == b"used":
            raise DatasetInUse([job.decode() for job in rest])
        sequence, *known = rest
        self._holdings.dataset_deleted(
            tenant, dataset_id, int(sequence), [key.decode() for key in known]
        )
        self.blobs.sweep()

    def _discard_if_doomed(self, path: str) -> None:
        """Remove a placed file unless the script took it: only what it did not take is doomed."""
        if self._store.zscore(keys.DOOMED, path) is not None:
            self.blobs.discard(path)
