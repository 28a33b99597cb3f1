"""Gives everything that a store has a record in the artifacts: once for each store.

A new store has nothing. One that served before there was an archive has jobs, keys and datasets
without a record; and so has one whose artifacts were lost.
"""

from collections.abc import Iterator
from typing import Any

import redis

from jobs import keys
from jobs.archive.holdings import Holdings
from jobs.archive.jobs import Archive
from jobs.errors import NoSuchJob
from jobs.files import Files
from jobs.ids import is_job_id


def adopt(store: "redis.Redis", files: Files) -> None:
    """Keep all there is, unless that was done. Raises StoreFull."""
    if store.exists(keys.ARCHIVED):
        return
    archive, holdings = Archive(store, files), Holdings(store, files)
    for key_id in _texts(store.zrange(keys.access_index(), 0, -1)):
        holdings.key(key_id)
    secrets: Any = store.hkeys(keys.SECRETS)
    for tenant in _texts(secrets):
        holdings.secret(tenant)
        for dataset_id in _texts(store.zrange(keys.datasets(tenant), 0, -1)):
            holdings.dataset(tenant, dataset_id)
    for tenant in sorted(_texts(store.smembers(keys.TENANTS))):
        _adopt_jobs(store, archive, tenant)
    store.set(keys.ARCHIVED, "1")


def _adopt_jobs(store: "redis.Redis", archive: Archive, tenant: str) -> None:
    told: Any = store.hgetall(keys.idempotency(tenant))
    for key, value in told.items():
        job_id, _, digest = value.decode().partition(" ")
        if is_job_id(job_id) and store.exists(keys.job(tenant, job_id)):
            store.hset(keys.known(tenant, job_id), key, digest)
    for job_id in _texts(store.zrange(keys.index(tenant), 0, -1)):
        try:
            archive.job(tenant, job_id)  # of one that runs only what is said; its owner does more
        except NoSuchJob:  # deleted meanwhile
            continue
    for each in _texts(store.zrange(keys.tombstones(tenant), 0, -1)):
        if is_job_id(each):
            archive.deleted(tenant, each, 0, [])


def _texts(found: Any) -> Iterator[str]:
    return (bytes(each).decode() for each in found)
