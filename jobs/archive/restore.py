"""Writes what the archive has back into an empty store. Knows no file."""

from typing import Any

import redis

from jobs import keys
from jobs.archive.lines import unspell, unspell_all
from jobs.archive.stock import Flat, KeptJob
from jobs.history.parts import Part
from jobs.job import ENDED
from jobs.record import SCHEMA
from jobs.scripts import Scripts

GONE = "deleted -"  # what an idempotency key says whose thing was deleted


class NotRestored(Exception):
    """One thing could not be made again; the text says which and why."""


class Restorer:
    """The writing half of a rebuild."""

    def __init__(self, store: "redis.Redis") -> None:
        self._store, self._scripts = store, Scripts(store)

    def job(self, kept: KeptJob) -> str:
        """Make a job again; gives the status that it now has. Raises NotRestored."""
        if (schema := kept.fields["schema"].decode()) != SCHEMA:
            raise NotRestored(f"job {kept.id}: its record has schema {schema}, known is {SCHEMA}")
        for dataset_id in kept.fields.get("datasets", b"").decode().split():
            live = kept.status not in ENDED
            if live and not self._store.exists(keys.dataset(kept.tenant, dataset_id)):
                raise NotRestored(f"job {kept.id}: its dataset {dataset_id} could not be restored")
        self._write(kept)
        answer = self._scripts.call("restore", {"member": keys.member(kept.tenant, kept.id)})
        return answer[1].decode()

    def job_tombstone(self, record: dict[str, Any]) -> None:
        """Let a deleted job stay deleted."""
        tenant = record["tenant"]
        self._store.zadd(keys.tombstones(tenant), {record["id"]: record["deleted_ms"]})
        self._gone(keys.idempotency(tenant), record["known"])
        self._at_least(keys.SEQUENCE, record["sequence"])

    def key(self, record: dict[str, Any]) -> None:
        """Make an access key again."""
        fields = unspell_all(record["fields"])
        key_id, tenant = fields["id"].decode(), fields["tenant"].decode()
        sequence = int(fields["seq"])
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hset(keys.access(key_id), mapping=fields)  # type: ignore[arg-type]
            pipe.zadd(keys.access_index(), {key_id: sequence})
            pipe.zadd(keys.access_index(tenant), {key_id: sequence})
            for known, told in record["known"].items():
                name = keys.access_idempotency(fields["maker"].decode())
                pipe.hset(name, known, unspell(told))
            pipe.execute()
        self._at_least(keys.ACCESS_SEQUENCE, sequence)

    def key_tombstone(self, record: dict[str, Any]) -> None:
        """Let a deleted key stay deleted."""
        if record["known"]:
            self._gone(keys.access_idempotency(record["maker"]), record["known"])
        self._at_least(keys.ACCESS_SEQUENCE, record["sequence"])

    def secret(self, record: dict[str, Any]) -> None:
        """Let a tenant's datasets have the ids that they had."""
        self._store.hset(keys.SECRETS, record["tenant"], unspell(record["secret"]))

    def dataset(self, record: dict[str, Any]) -> None:
        """Make a dataset again, whose bytes are there."""
        fields = unspell_all(record["fields"])
        tenant, dataset_id, sha256 = (fields[name].decode() for name in ("tenant", "id", "sha256"))
        sequence = int(fields["seq"])
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hset(keys.dataset(tenant, dataset_id), mapping=fields)  # type: ignore[arg-type]
            pipe.zadd(keys.datasets(tenant), {dataset_id: sequence})
            pipe.hset(keys.blob(sha256), "path", fields["path"])
            pipe.sadd(keys.blob_references(sha256), f"{tenant}/{dataset_id}")
            pipe.zrem(keys.tombstones(tenant), dataset_id)
            for known, told in record["known"].items():
                pipe.hset(keys.idempotency(tenant), known, unspell(told))
                pipe.sadd(keys.dataset_keys(tenant, dataset_id), known)
            pipe.execute()
        self._at_least(keys.DATASET_SEQUENCE, sequence)

    def dataset_tombstone(self, record: dict[str, Any]) -> None:
        """Let a deleted dataset stay deleted; one that was uploaded again is restored later."""
        tenant = record["tenant"]
        self._store.zadd(keys.tombstones(tenant), {record["id"]: record["deleted_ms"]})
        self._gone(keys.idempotency(tenant), record["known"])
        self._at_least(keys.DATASET_SEQUENCE, record["sequence"])

    def _write(self, kept: KeptJob) -> None:
        tenant, job_id = kept.tenant, kept.id
        job = keys.job(tenant, job_id)
        with self._store.pipeline(transaction=True) as pipe:
            hashes: list[tuple[str, Flat]] = [(job, kept.fields)]
            hashes += [(f"{job}:{name}", told) for name, told in kept.hashes.items()]
            for number, attempt in enumerate(kept.attempts, 1):
                hashes.append((keys.attempt(tenant, job_id, number), attempt))
            for name, told in hashes:
                if told:
                    pipe.hset(name, mapping=told)  # type: ignore[arg-type]
            if kept.removed:
                pipe.sadd(keys.removed(tenant, job_id), *kept.removed)
            if kept.audit:
                pipe.rpush(keys.audit(tenant, job_id), *kept.audit)
            if kept.events:
                pipe.rpush(keys.events(tenant, job_id), *kept.events)
            for name, data in kept.parts.items():
                if data:
                    pipe.set(_part(name).key(tenant, job_id), data)
            pipe.execute()

    def _gone(self, name: str, known: list[str]) -> None:
        if known:
            self._store.hset(name, mapping={key: GONE for key in known})

    def _at_least(self, name: str, number: int) -> None:
        """New things get numbers beyond those that were given out."""
        had: Any = self._store.get(name)
        if int(had or 0) < number:
            self._store.set(name, number)


def _part(name: str) -> Part:
    """Read a part's name: <column>/<segment>.<suffix>."""
    column, _, file = name.partition("/")
    number, _, suffix = file.partition(".")
    return Part(column, int(number), suffix)
