"""Check that store and artifacts belong together: both hold one uuid, written once.

A store without the uuid of its artifacts was lost or is another one; a store that lacks what the
artifacts record was set back to a backup. Neither may be used: files of one job would be removed or
overwritten for another.
"""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jobs.archive.format import BrokenArchive, read_file, sequence_of, single_record
from jobs.archive.job_file import archive_folder
from jobs.archive.record_folders import RecordFolders, record_name, split_record_name
from jobs.errors import StoreMismatch
from jobs.files.artifacts import ArtifactStore
from jobs.store import keys
from jobs.store.connection import Store

LIVE_STATUSES = ("queued", "running", "paused")
REBUILD_HINT = (
    "`python -m jobs.rebuild` makes an empty store what the artifacts say; "
    "for the store that serve.py runs itself: `python -m serving.rebuild --data DIR`"
)
BATCH_SIZE = 500


def check_store_matches(store: Store, files: ArtifactStore) -> None:
    """Raise StoreMismatch unless store and artifacts share a uuid.

    Artifacts without one get the store's, if the store has no uuid or no data yet.
    """
    store_id, artifacts_store_id = _fetch_store_id(store), read_store_id(files)
    if artifacts_store_id is None and (store_id is None or not _has_data(store)):
        store.set(keys.STORE_UUID, str(uuid.uuid4()), nx=True)
        return write_store_id(files, _fetch_store_id(store) or "")
    if store_id is not None and store_id == artifacts_store_id:
        return None
    raise StoreMismatch(_mismatch_message(store, files, store_id, artifacts_store_id))


def check_not_older(store: Store, files: ArtifactStore) -> None:
    """Raise StoreMismatch if the artifacts record something that this store lacks."""
    for difference in _find_forgotten(store, files):
        raise StoreMismatch(
            f"the store is older than the artifacts in {files.root}: {difference}. Was it set back "
            f"to a backup? Empty the server and rebuild it; {REBUILD_HINT}"
        )


def write_store_id(files: ArtifactStore, store_id: str) -> None:
    """Write the store's uuid into the artifacts."""
    files.write(_store_id_path(files), single_record("store", {"uuid": store_id}))


def count_rebuild(files: ArtifactStore) -> int:
    """Count one more rebuild from these artifacts, durably, and return how many that makes."""
    record = read_file(files, _store_id_path(files)).record
    count = int(record.get("rebuilds", 0)) + 1
    files.write(_store_id_path(files), single_record("store", {**record, "rebuilds": count}))
    return count


def read_store_id(files: ArtifactStore) -> str | None:
    """Read the uuid in the artifacts; None if there is none. Raises StoreMismatch if damaged."""
    try:
        return str(read_file(files, _store_id_path(files)).record["uuid"])
    except FileNotFoundError:
        return None
    except BrokenArchive as error:
        raise StoreMismatch(f"whose artifacts these are cannot be read: {error}") from error


def _store_id_path(files: ArtifactStore) -> Path:
    return RecordFolders(files).root / "store.json"


def _fetch_store_id(store: Store) -> str | None:
    value: Any = store.get(keys.STORE_UUID)
    return None if value is None else bytes(value).decode()


def _has_data(store: Store) -> bool:
    return bool(store.exists(keys.SEQUENCE, keys.DATASET_SEQUENCE))


def _mismatch_message(
    store: Store, files: ArtifactStore, store_id: str | None, artifacts_store_id: str | None
) -> str:
    if artifacts_store_id is None:
        return (
            f"this store ({store_id}) has jobs, but the artifacts in {files.root} know no store: "
            "is it the right folder? If the files are lost for good, "
            "`python -m jobs.rebuild --adopt` makes this one the store's"
        )
    if store_id is None and not _has_data(store):
        return (
            f"the store is empty, and the artifacts in {files.root} are of a store "
            f"({artifacts_store_id}) that is not there: was it lost? {REBUILD_HINT}"
        )
    if store_id is None:
        return (
            f"this store has no uuid, and the artifacts in {files.root} are of store "
            f"{artifacts_store_id}: a rebuild was cut short (empty the server, run it again), "
            "or this is another folder"
        )
    owner = f"of another one ({artifacts_store_id})"
    return f"this is store {store_id}, and the artifacts in {files.root} are {owner}"


def _find_forgotten(store: Store, files: ArtifactStore) -> Iterator[str]:
    """Yield what the artifacts record and this store lacks, in words."""
    folders = RecordFolders(files)
    for (tenant, job_id), exists in _check_existence(store, folders.split_names("submitted")):
        if not exists and store.zscore(keys.tombstones(tenant), job_id) is None:
            yield f"it does not know job {job_id}"
    for (_, job_id), exists in _check_existence(store, folders.split_names("deleted")):
        if exists:
            yield f"it has job {job_id}, which was deleted"
    for key_id in folders.names("deleted-keys"):
        if store.exists(keys.access_key(key_id)):
            yield f"it has access key {key_id}, which was deleted"
    yield from _find_unknown(store, files, "keys", keys.access_key, keys.ACCESS_SEQUENCE)
    yield from _find_unknown(store, files, "datasets", _dataset_key, keys.DATASET_SEQUENCE)
    yield from _find_older_jobs(store, files)
    yield from _find_changed_jobs(store, files)


def _dataset_key(record_name: str) -> str:
    return keys.dataset(*split_record_name(record_name))


def _find_unknown(
    store: Store,
    files: ArtifactStore,
    folder: str,
    make_key: Callable[[str], str],
    sequence_key: str,
) -> Iterator[str]:
    """Yield keys or datasets with a sequence number beyond this store's last one."""
    folders, last_sequence = RecordFolders(files), None
    for name in folders.names(folder):
        if store.exists(make_key(name)):
            continue
        if last_sequence is None:
            value: Any = store.get(sequence_key)
            last_sequence = int(value or 0)
        if sequence_of(read_file(files, folders.path(folder, name)).record) > last_sequence:
            yield f"it does not know {name} of the {folder}"


def _check_existence(
    store: Store, names: list[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield (tenant, id) of each job, and whether the store has it."""
    for start in range(0, len(names), BATCH_SIZE):
        batch = names[start : start + BATCH_SIZE]
        with store.pipeline(transaction=False) as pipe:
            for tenant, job_id in batch:
                pipe.exists(keys.job(tenant, job_id))
            yield from zip(batch, map(bool, pipe.execute()), strict=True)


def _find_older_jobs(store: Store, files: ArtifactStore) -> Iterator[str]:
    """Yield live jobs with an archived version newer than the store's."""
    tenants: Any = store.smembers(keys.TENANTS)
    for tenant in sorted(encoded.decode() for encoded in tenants):
        for status in LIVE_STATUSES:
            ids: Any = store.zrange(keys.job_index(tenant, "status", status), 0, -1)
            for job_id in (encoded.decode() for encoded in ids):
                archived_version: Any = store.hget(keys.job(tenant, job_id), "archived")
                record_paths = archive_folder(files, tenant, job_id).glob("[0-9]*.*")
                newest = max((int(path.stem) for path in record_paths), default=0)
                if newest > int(archived_version or 0):
                    yield f"job {job_id} was further than it says"


def _find_changed_jobs(store: Store, files: ArtifactStore) -> Iterator[str]:
    """Yield jobs with a short record newer than the store's version; there are few."""
    folders = RecordFolders(files)
    for tenant, job_id in folders.split_names("changed"):
        path = folders.path("changed", record_name(tenant, job_id))
        version = int(read_file(files, path).record["version"])
        archived_version: Any = store.hget(keys.job(tenant, job_id), "archived")
        if archived_version is not None and version > int(archived_version):
            yield f"job {job_id} was changed since what it says"
