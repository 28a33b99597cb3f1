"""Write the archive records that a store lacks, once per store and form of the archive.

A store that served before the archive existed, or whose artifacts were lost, holds jobs, keys and
datasets without a record. In the first form a checkpoint request had no record of its own.
"""

from collections.abc import Iterator
from typing import Any

from jobs.archive.jobs import JobArchive
from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.archive.request_records import RequestRecords
from jobs.errors import NoSuchJob
from jobs.files.artifacts import ArtifactStore
from jobs.ids import is_job_id
from jobs.store import keys
from jobs.store.connection import Store

ARCHIVE_FORM = b"2"  # value of keys.ARCHIVED; "1" was the first


def backfill(store: Store, files: ArtifactStore) -> None:
    """Write all records that are missing. Raises StoreFull or DiskUnavailable."""
    archived: Any = store.get(keys.ARCHIVED)
    if archived is None:
        _backfill_records(store, files)
    if archived != ARCHIVE_FORM:
        _backfill_requests(store, files)
        store.set(keys.ARCHIVED, ARCHIVE_FORM)


def _backfill_records(store: Store, files: ArtifactStore) -> None:
    job_archive, key_dataset_archive = JobArchive(store, files), KeyDatasetArchive(store, files)
    for key_id in _decode_all(store.zrange(keys.access_index(), 0, -1)):
        key_dataset_archive.save_key(key_id)
    tenants: Any = store.hkeys(keys.DATASET_ID_SECRETS)
    for tenant in _decode_all(tenants):
        key_dataset_archive.save_secret(tenant)
        for dataset_id in _decode_all(store.zrange(keys.dataset_index(tenant), 0, -1)):
            key_dataset_archive.save_dataset(tenant, dataset_id)
    for tenant in sorted(_decode_all(store.smembers(keys.TENANTS))):
        if store.exists(keys.tenant_settings(tenant)):
            key_dataset_archive.save_tenant(tenant)
        _backfill_jobs(store, job_archive, tenant)


def _backfill_requests(store: Store, files: ArtifactStore) -> None:
    requests = RequestRecords(store, files)
    for tenant in sorted(_decode_all(store.smembers(keys.TENANTS))):
        for job_id in _decode_all(store.zrange(keys.job_index(tenant), 0, -1)):
            requests.save_missing(tenant, job_id)


def _backfill_jobs(store: Store, archive: JobArchive, tenant: str) -> None:
    idempotency_keys: Any = store.hgetall(keys.idempotency(tenant))
    for key, value in idempotency_keys.items():
        job_id, _, digest = value.decode().partition(" ")
        if is_job_id(job_id) and store.exists(keys.job(tenant, job_id)):
            store.hset(keys.job_idempotency_keys(tenant, job_id), key, digest)
    for job_id in _decode_all(store.zrange(keys.job_index(tenant), 0, -1)):
        try:
            archive.save(tenant, job_id)  # of a running job its owner writes the rest
        except NoSuchJob:  # deleted since the index was read
            continue
    for deleted_id in _decode_all(store.zrange(keys.tombstones(tenant), 0, -1)):
        if is_job_id(deleted_id):
            archive.save_tombstone(tenant, deleted_id, 0, [])


def _decode_all(members: Any) -> Iterator[str]:
    return (bytes(member).decode() for member in members)
