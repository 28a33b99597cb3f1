"""Whether store and artifacts belong together: one uuid in both, written once.

A store without it beside artifacts that have one was lost (or is another); one that lacks what the
artifacts know was set back to an earlier day. Neither may be worked on: files of the one would be
removed or written over in the name of the other.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import redis

from jobs import keys
from jobs.archive.lines import BrokenArchive, alone, read, unspell
from jobs.archive.shelf import Shelf, split
from jobs.archive.volume import home
from jobs.errors import ForeignStore
from jobs.files import Files

LIVE = ("queued", "running", "paused")
REBUILD = (
    "`python -m jobs.rebuild` makes an empty store what the artifacts say; "
    "for the store that serve.py runs itself: `python -m serving.rebuild --data DIR`"
)
BATCH = 500


def check_same(store: "redis.Redis", files: Files) -> None:
    """Let store and artifacts know each other, if both are new; raises ForeignStore if not one.

    What is older than this (neither has a uuid) is taken as it is found.
    """
    mine, theirs = _uuid_of_store(store), uuid_of(files)
    if theirs is None and (mine is None or not _has_anything(store)):
        store.set(keys.STORE_UUID, str(uuid.uuid4()), nx=True)
        return mark(files, _uuid_of_store(store) or "")
    if mine is not None and mine == theirs:
        return None
    raise ForeignStore(_why(store, files, mine, theirs))


def check_age(store: "redis.Redis", files: Files) -> None:
    """Raise ForeignStore if the artifacts know of something that this store has forgotten."""
    for what in _forgotten(store, files):
        raise ForeignStore(
            f"the store is older than the artifacts in {files.root}: {what}. Was it set back to a "
            f"backup? Empty the server and rebuild it; {REBUILD}"
        )


def mark(files: Files, store_uuid: str) -> None:
    """Write into the artifacts which store is theirs."""
    files.write(_path(files), alone("store", {"uuid": store_uuid}))


def uuid_of(files: Files) -> str | None:
    """Which store the artifacts are of; None where nothing says so. Raises ForeignStore."""
    try:
        return str(read(files, _path(files)).record["uuid"])
    except FileNotFoundError:
        return None
    except BrokenArchive as error:
        raise ForeignStore(f"whose artifacts these are cannot be read: {error}") from error


def _path(files: Files) -> Any:
    return Shelf(files).root / "store.json"


def _uuid_of_store(store: "redis.Redis") -> str | None:
    found: Any = store.get(keys.STORE_UUID)
    return None if found is None else bytes(found).decode()


def _has_anything(store: "redis.Redis") -> bool:
    return bool(store.exists(keys.SEQUENCE, keys.DATASET_SEQUENCE))


def _why(store: "redis.Redis", files: Files, mine: str | None, theirs: str | None) -> str:
    if theirs is None:
        return (
            f"this store ({mine}) has jobs, but the artifacts in {files.root} know no store: is it "
            "the right folder? If the files are lost for good, `python -m jobs.rebuild --adopt` "
            "makes this one the store's"
        )
    if mine is None and not _has_anything(store):
        return (
            f"the store is empty, and the artifacts in {files.root} are of a store ({theirs}) that "
            f"is not there: was it lost? {REBUILD}"
        )
    if mine is None:
        return (
            f"this store has no uuid, and the artifacts in {files.root} are of store {theirs}: "
            f"a rebuild was cut short (empty the server, run it again), or this is another folder"
        )
    return f"this is store {mine}, and the artifacts in {files.root} are of another one ({theirs})"


def _forgotten(store: "redis.Redis", files: Files) -> Iterator[str]:
    """What the artifacts say and this store does not, in words."""
    shelf = Shelf(files)
    for name, alive in _alive(store, shelf.names("submitted")):
        if not alive and store.zscore(keys.tombstones(name[0]), name[1]) is None:
            yield f"it does not know job {name[1]}"
    for name, alive in _alive(store, shelf.names("deleted")):
        if alive:
            yield f"it has job {name[1]}, which was deleted"
    for key_id in shelf.names("deleted-keys"):
        if store.exists(keys.access(key_id)):
            yield f"it has access key {key_id}, which was deleted"
    yield from _unknown(store, files, "keys", keys.access, keys.ACCESS_SEQUENCE)
    yield from _unknown(store, files, "datasets", _dataset, keys.DATASET_SEQUENCE)
    yield from _older_jobs(store, files)


def _unknown(
    store: "redis.Redis", files: Files, folder: str, key: Callable[[str], str], numbers: str
) -> Iterator[str]:
    """Keys or datasets that were made after all that this store knows."""
    shelf, last = Shelf(files), None
    for name in shelf.names(folder):
        if store.exists(key(name)):
            continue
        if last is None:
            told: Any = store.get(numbers)
            last = int(told or 0)
        fields = read(files, shelf.path(folder, name)).record["fields"]
        if int(unspell(fields["seq"])) > last:
            yield f"it does not know {name} of the {folder}"


def _alive(store: "redis.Redis", names: list[str]) -> Iterator[tuple[tuple[str, str], bool]]:
    """Jobs by what a shelf calls them, and whether the store has them."""
    for start in range(0, len(names), BATCH):
        batch = [split(name) for name in names[start : start + BATCH]]
        with store.pipeline(transaction=False) as pipe:
            for tenant, job_id in batch:
                pipe.exists(keys.job(tenant, job_id))
            yield from zip(batch, map(bool, pipe.execute()), strict=True)


def _older_jobs(store: "redis.Redis", files: Files) -> Iterator[str]:
    """Live jobs of which the artifacts have a record that this store has not given out."""
    tenants: Any = store.smembers(keys.TENANTS)
    for tenant in sorted(each.decode() for each in tenants):
        for status in LIVE:
            ids: Any = store.zrange(keys.index(tenant, "status", status), 0, -1)
            for job_id in (each.decode() for each in ids):
                told: Any = store.hget(keys.job(tenant, job_id), "archived")
                found = home(files, tenant, job_id).glob("[0-9]*.*")
                if max((int(path.stem) for path in found), default=0) > int(told or 0):
                    yield f"job {job_id} was further than it says"


def _dataset(name: str) -> str:
    return keys.dataset(*split(name))
