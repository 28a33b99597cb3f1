"""Add, find, list and delete the datasets of a tenant. Knows no HTTP and no format.

A dataset's id is derived from its bytes, type and delimiter with the tenant's secret: the same
upload gives the same dataset, and an id reveals nothing about the data of other tenants.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.datasets.append import Append
from jobs.datasets.blobs import Blobs
from jobs.datasets.dataset import Dataset, DatasetRecord, parse_dataset
from jobs.datasets.formats.damage import DamagedDataset
from jobs.datasets.formats.joined_file import JoinedFile
from jobs.datasets.row_splits import split_job_rows, used_rows
from jobs.datasets.upload import ReceivedUpload, Upload
from jobs.errors import (
    DatasetDeleted,
    DatasetInUse,
    NoSuchDataset,
    QuotaExceeded,
    RequestInProgress,
)
from jobs.files.artifacts import ArtifactStore, translate_disk_errors
from jobs.files.file_digests import FileDigests
from jobs.ids import is_dataset_id, make_dataset_id
from jobs.queries.usage import QuotaUse, UsageQueries
from jobs.spec.dataset_binding import DataFile
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import MediaType, ParseOptions
from jobs.spec.row_split import RowSplit
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.cursor import IndexCursor, Page
from jobs.store.page_budget import PageBudget, read_hashes
from jobs.store.scripts import Scripts, check_idempotency, check_quota
from jobs.tenant_secrets import tenant_secret

MAX_COMPARED_DATASETS = 1000  # whose sizes an upload beyond a quota is compared with
#: an upload's lock on its idempotency key expires this long after the last renewal
KEY_HOLD_SECONDS = 120


@dataclass(frozen=True)
class AddResult:
    """The dataset of an upload, and the HTTP status of its first response."""

    dataset: Dataset
    status: Literal[200, 201]
    replayed: bool


class DatasetRepository:
    """All operations on datasets."""

    def __init__(
        self,
        store: Store,
        files: ArtifactStore,
        *,
        max_bytes: int,
        digests: FileDigests | None = None,
    ) -> None:
        """`digests` may be shared with other readers of files."""
        self._store, self._max_bytes, self._digests = store, max_bytes, digests or FileDigests()
        self._scripts, self._archive = Scripts(store), KeyDatasetArchive(store, files)
        self._usage = UsageQueries(store)
        self.blobs = Blobs(store, files)

    def start_upload(
        self, kind: MediaType, options: ParseOptions, *, quota: QuotaUse | None = None
    ) -> Upload:
        """Begin an upload (a context manager) that ends at its tenant's quota. Raises StoreFull."""
        with translate_disk_errors():
            self.blobs.sweep()
        return Upload(self.blobs, kind, options, max_bytes=self._max_bytes, quota=quota)

    def start_append(
        self,
        tenant: str,
        parent: DatasetRecord,
        *,
        quota: QuotaUse | None,
        renew_hold: Callable[[], None],
    ) -> Append:
        """Begin an append (a context manager). Raises as Append and `open` do."""
        with translate_disk_errors():
            self.blobs.sweep()
        with self.open(tenant, parent) as stream:
            return Append(
                self.blobs,
                parent,
                stream,
                max_bytes=self._max_bytes,
                quota=quota,
                renew_hold=renew_hold,
            )

    def check_quota(self, tenant: str, idempotency_key: str | None, size: int) -> QuotaUse | None:
        """Return the use of the tenant's quota; None without one, or for a key that was used.

        Raises QuotaExceeded where `size` more bytes would be too many.
        """
        if idempotency_key and self._store.hexists(keys.idempotency(tenant), idempotency_key):
            return None  # its upload may have been accepted: the script decides
        try:
            return self._usage.check_quota(tenant, "dataset_bytes", size)
        except QuotaExceeded:
            if size and size in self._newest_sizes(tenant):
                return None  # these bytes may be there: then nothing is added
            raise

    def _newest_sizes(self, tenant: str) -> set[int]:
        """Return the bytes of each of the newest datasets of a tenant."""
        newest: Any = self._store.zrange(
            keys.dataset_index(tenant), 0, MAX_COMPARED_DATASETS - 1, desc=True
        )
        with self._store.pipeline(transaction=False) as pipe:
            for dataset_id in newest:
                pipe.hget(keys.dataset(tenant, dataset_id.decode()), "bytes")
            return {int(size) for size in pipe.execute() if size}

    @contextlib.contextmanager
    def hold_idempotency_key(self, tenant: str, key: str | None) -> Iterator[Callable[[], None]]:
        """Lock an idempotency key while its upload comes in; yield a function that renews the lock.

        Raises RequestInProgress if another request holds it. The lock of a dead process expires.
        """
        if key is None:
            yield lambda: None
            return
        lock_key = keys.upload_lock(tenant, key)
        if not self._store.set(lock_key, "1", nx=True, ex=KEY_HOLD_SECONDS):
            raise RequestInProgress(key)
        renewed_at = time.monotonic()

        def renew() -> None:
            nonlocal renewed_at
            if time.monotonic() - renewed_at > KEY_HOLD_SECONDS / 10:
                self._store.expire(lock_key, KEY_HOLD_SECONDS)
                renewed_at = time.monotonic()

        try:
            yield renew
        finally:
            self._store.delete(lock_key)

    def add(
        self,
        tenant: str,
        received: ReceivedUpload,
        *,
        name: str,
        idempotency_key: str | None = None,
    ) -> AddResult:
        """Make an upload a dataset, durably, or return the dataset that it already is.

        Raises IdempotencyMismatch, IdempotentResultDeleted, QuotaExceeded, StoreFull or
        DiskUnavailable; then nothing was stored. Raises NotArchived, as JobArchive does.
        """
        with self._archive.reserve() as reservation:
            answer, *rest = self._add(tenant, received, name, idempotency_key)
            check_idempotency(answer, idempotency_key)
            check_quota(answer, rest)
            if answer == b"no parent":
                assert received.parent is not None, "an append has one"
                raise NoSuchDataset(received.parent.id)
            assert answer != b"late", "an hour has passed between two commands"
            dataset_id = rest[0].decode()
            status: Literal[200, 201] = 201 if rest[1] == b"201" else 200
            self._archive.save_dataset(tenant, dataset_id, reservation)
            record = self.find(tenant, dataset_id)
        return AddResult(record.dataset, status, replayed=answer == b"replayed")

    def _add(
        self, tenant: str, received: ReceivedUpload, name: str, idempotency_key: str | None
    ) -> list[bytes]:
        """Store the file, run the script that adds the dataset, and return the script's reply."""
        secret = tenant_secret(self._store, tenant)
        self._archive.save_secret(tenant)
        with translate_disk_errors():
            path = self.blobs.store(received.path, received.file_sha256)
        dataset_id = make_dataset_id(secret, *received.content_identity)
        header = {"tenant": tenant, "id": dataset_id, "idempotency_key": idempotency_key}
        header |= received.record_fields(path, name)
        profile = received.profile.model_dump_json(exclude_none=True, exclude_defaults=True)
        try:
            return self._scripts.call("add_dataset", header, profile)
        finally:  # if its deletion is still scheduled, the script did not claim it
            if self._store.zscore(keys.PENDING_BLOB_DELETIONS, path) is not None:
                self.blobs.discard(path)

    def find(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """Read a dataset's record. Raises NoSuchDataset."""
        if not is_dataset_id(dataset_id):
            raise NoSuchDataset(dataset_id)
        record: dict[bytes, bytes] = self._store.hgetall(keys.dataset(tenant, dataset_id))  # type: ignore[assignment]
        if not record:
            raise NoSuchDataset(dataset_id)
        return parse_dataset(record)

    def look_up(self, tenant: str, dataset_id: str) -> KnownDataset | None:
        """Return the dataset as checks of a spec see it; None if the tenant has no such dataset."""
        try:
            record = self.find(tenant, dataset_id)
        except NoSuchDataset:
            return None

        def split_rows(spec: JobSpec) -> RowSplit:
            return split_job_rows(spec, self.open_file, used_rows(spec, self.open_file))

        return record.known_dataset._replace(split_rows=split_rows)

    def read_page(
        self,
        tenant: str,
        *,
        limit: int,
        encode: Callable[[Dataset], str],
        after: str | None = None,
        descending: bool = True,
    ) -> Page[str]:
        """Read a page of a tenant's datasets, each as the JSON of `encode`. Raises BadCursor.

        It ends early where its datasets have more than MAX_PAGE_BYTES together.
        """
        cursor = IndexCursor(self._store, keys.dataset_index(tenant), after, descending)
        members, texts, budget, examined = cursor.read_next(limit + 1), [], PageBudget(limit), 0
        names = [keys.dataset(tenant, member.decode()) for member, _ in members[:limit]]
        for record in read_hashes(self._store, names, "profile"):
            examined += 1
            if record:
                texts.append(encode(parse_dataset(record).dataset))
                budget.spend(texts[-1])
            if budget.is_spent:
                break
        next_after = str(int(members[examined - 1][1])) if examined < len(members) else None
        return Page(texts, next_after)

    def open(self, tenant: str, record: DatasetRecord) -> BinaryIO:
        """Open a dataset's bytes. Raises DamagedDataset, or NoSuchDataset if it was deleted."""
        try:
            return self._open_parts(record.known_dataset.file)
        except FileNotFoundError:
            self.find(tenant, record.dataset.id)
            raise DamagedDataset(f"the file of sha256 {record.dataset.sha256} is missing") from None

    def _open_parts(self, file: DataFile) -> BinaryIO:
        if not file.parts:
            return self.blobs.open(file.path)
        name = f"the dataset of sha256 {file.sha256}"
        return cast(BinaryIO, JoinedFile(name, file.parts, self.blobs.open))

    def open_file(self, file: DataFile) -> BinaryIO:
        """Open the bytes of a dataset that a job uses. Raises DatasetDeleted or DamagedDataset."""
        try:
            opened = self._open_parts(file)
        except FileNotFoundError:
            raise DatasetDeleted("a dataset of the job has been deleted") from None
        if not self._digests.matches(opened, file.sha256):
            opened.close()
            raise DamagedDataset(f"the file of sha256 {file.sha256} has other bytes now")
        return opened

    def delete(self, tenant: str, dataset_id: str) -> None:
        """Delete a dataset. Raises NoSuchDataset, or DatasetInUse while a live job uses it."""
        if not is_dataset_id(dataset_id):
            raise NoSuchDataset(dataset_id)
        with self._archive.reserve_change() as reservation:
            header = {"tenant": tenant, "id": dataset_id}
            answer, *rest = cast(list[Any], self._scripts.call("delete_dataset", header))
            if answer == b"gone":
                if self._archive.ensure_dataset_tombstone(tenant, dataset_id):
                    return  # an earlier try of this deletion was cut short
                raise NoSuchDataset(dataset_id)
            if answer == b"used":
                raise DatasetInUse([job.decode() for job in rest])
            sequence, idempotency_keys = int(rest[0]), [key.decode() for key in rest[1]]
            self._archive.save_dataset_tombstone(
                tenant, dataset_id, sequence, idempotency_keys, reservation
            )
        with contextlib.suppress(OSError):  # the file is still listed: a later sweep removes it
            self.blobs.sweep()
