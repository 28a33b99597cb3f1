"""Write what was archived (jobs, keys, datasets, tenants, tombstones) into an empty store.

Knows no file.
"""

import json
from typing import Any

from jobs.archive.format import decode_bytes, decode_hash, sequence_of
from jobs.archive.reader import ArchivedJob
from jobs.history.column_reader import SegmentPiece
from jobs.job import TERMINAL_STATUSES
from jobs.spec.dataset_binding import read_parts
from jobs.store import keys
from jobs.store.codec import SCHEMA_VERSION
from jobs.store.connection import Store
from jobs.store.numbering import NUMBERS_PER_REBUILD
from jobs.store.scripts import Scripts

MAX_TENANT_EVENTS = 1000  # of one tenant, as in lua/prelude.lua
DELETED_MARKER = "deleted -"  # value of an idempotency key whose result was deleted
#: more than requests can be under way: each may have taken a number without being archived
SKIPPED_NUMBERS = 1_000_000


class RestoreError(Exception):
    """A job could not be restored; the message says which and why."""


class Restorer:
    """Writes archive records into the store."""

    def __init__(self, store: Store, rebuild_number: int) -> None:
        """Write as the rebuild of this number, from 1, among all of these artifacts."""
        self.store, self.scripts = store, Scripts(store)
        self._base = rebuild_number * NUMBERS_PER_REBUILD

    def restore_job(self, job: ArchivedJob) -> str:
        """Restore a job and return its status in the store. Raises RestoreError."""
        if (schema := job.fields["schema"].decode()) != SCHEMA_VERSION:
            reason = f"its record has schema {schema}, known is {SCHEMA_VERSION}"
            raise RestoreError(f"job {job.id}: {reason}")
        for dataset_id in job.fields.get("datasets", b"").decode().split():
            is_live = job.status not in TERMINAL_STATUSES
            if is_live and not self.store.exists(keys.dataset(job.tenant, dataset_id)):
                raise RestoreError(f"job {job.id}: its dataset {dataset_id} could not be restored")
        self._write_job(job)
        header = {"member": keys.job_member(job.tenant, job.id), "base": self._base}
        return self.scripts.call("restore", header)[1].decode()

    def restore_job_tombstone(self, record: dict[str, Any]) -> None:
        """Restore the tombstone of a deleted job."""
        self._restore_tombstone(record, keys.SEQUENCE)
        if event := record.get("event"):
            self._restore_tenant_event(record["tenant"], event)

    def restore_key(self, record: dict[str, Any]) -> None:
        """Restore an access key."""
        fields, sequence = decode_hash(record["fields"]), sequence_of(record)
        key_id, tenant = fields["id"].decode(), fields["tenant"].decode()
        with self.store.pipeline(transaction=True) as pipe:
            pipe.hset(keys.access_key(key_id), mapping=fields)  # type: ignore[arg-type]
            pipe.zadd(keys.access_index(), {key_id: sequence})
            pipe.zadd(keys.access_index(tenant), {key_id: sequence})
            for idempotency_key, encoded in record["known"].items():
                hash_key = keys.access_idempotency(fields["maker"].decode())
                pipe.hset(hash_key, idempotency_key, decode_bytes(encoded))
            pipe.execute()
        self.advance_sequence(keys.ACCESS_SEQUENCE, sequence)

    def restore_key_tombstone(self, record: dict[str, Any]) -> None:
        """Restore the tombstone of a deleted access key."""
        if record["known"]:
            self.mark_keys_deleted(keys.access_idempotency(record["maker"]), record["known"])
        self.advance_sequence(keys.ACCESS_SEQUENCE, record["sequence"])

    def restore_secret(self, record: dict[str, Any]) -> None:
        """Restore the secret that a tenant's dataset ids are derived from."""
        self.store.hset(keys.DATASET_ID_SECRETS, record["tenant"], decode_bytes(record["secret"]))

    def restore_tenant(self, record: dict[str, Any]) -> None:
        """Restore a tenant's quotas and rules of retention."""
        tenant, fields = record["tenant"], decode_hash(record["fields"])
        self.store.sadd(keys.TENANTS, tenant)
        if fields:
            self.store.hset(keys.tenant_settings(tenant), mapping=fields)  # type: ignore[arg-type]

    def restore_dataset(self, record: dict[str, Any]) -> None:
        """Restore a dataset; the caller has checked that its bytes exist."""
        fields, sequence = decode_hash(record["fields"]), sequence_of(record)
        tenant, dataset_id = (fields[name].decode() for name in ("tenant", "id"))
        parts = read_parts({name: value.decode() for name, value in fields.items()})
        with self.store.pipeline(transaction=True) as pipe:
            pipe.hset(keys.dataset(tenant, dataset_id), mapping=fields)  # type: ignore[arg-type]
            pipe.zadd(keys.dataset_index(tenant), {dataset_id: sequence})
            for part in parts:
                pipe.hset(keys.blob(part.sha256), "path", part.path)
                pipe.sadd(keys.blob_references(part.sha256), f"{tenant}/{dataset_id}")
            pipe.zrem(keys.tombstones(tenant), dataset_id)
            for idempotency_key, encoded in record["known"].items():
                pipe.hset(keys.idempotency(tenant), idempotency_key, decode_bytes(encoded))
                pipe.sadd(keys.dataset_keys(tenant, dataset_id), idempotency_key)
            pipe.execute()
        self.advance_sequence(keys.DATASET_SEQUENCE, sequence)

    def restore_dataset_tombstone(self, record: dict[str, Any]) -> None:
        """Restore the tombstone of a deleted dataset, before any later upload of it is restored."""
        self._restore_tombstone(record, keys.DATASET_SEQUENCE)

    def skip_sequences(self) -> None:
        """Go on with numbers that no list has shown, not even of a request that got no answer."""
        for sequence_key in (
            keys.SEQUENCE, keys.DATASET_SEQUENCE, keys.ACCESS_SEQUENCE, keys.WEBHOOK_SEQUENCE,
        ):  # fmt: skip
            self.store.incrby(sequence_key, SKIPPED_NUMBERS)

    def _write_job(self, job: ArchivedJob) -> None:
        tenant, job_id = job.tenant, job.id
        hashes = {keys.job(tenant, job_id): job.fields}
        hashes |= {f"{keys.job(tenant, job_id)}:{name}": job.hashes[name] for name in job.hashes}
        for number, attempt in enumerate(job.attempts, 1):
            hashes[keys.attempt(tenant, job_id, number)] = attempt
        with self.store.pipeline(transaction=True) as pipe:
            for name, fields in hashes.items():
                if fields:
                    pipe.hset(name, mapping=fields)  # type: ignore[arg-type]
            if job.deleted_checkpoints:
                pipe.sadd(keys.deleted_checkpoints(tenant, job_id), *job.deleted_checkpoints)
            if job.audit:
                pipe.rpush(keys.audit(tenant, job_id), *job.audit)
            if job.events:
                pipe.rpush(keys.events(tenant, job_id), *job.events)
            for name, data in job.parts.items():
                if data:
                    pipe.set(_parse_part_name(name).key(tenant, job_id), data)
            pipe.execute()

    def _restore_tombstone(self, record: dict[str, Any], sequence_key: str) -> None:
        tenant = record["tenant"]
        self.store.zadd(keys.tombstones(tenant), {record["id"]: record["deleted_ms"]})
        self.mark_keys_deleted(keys.idempotency(tenant), record["known"])
        self.advance_sequence(sequence_key, record["sequence"])

    def _restore_tenant_event(self, tenant: str, event: str) -> None:
        number, events = int(json.loads(event)["seq"]), keys.tenant_events(tenant)
        newest: Any = self.store.hget(keys.tenant_usage(tenant), "events")
        self.store.zadd(events, {event: number})
        self.store.zremrangebyrank(events, 0, -MAX_TENANT_EVENTS - 1)
        number = max(number, int(newest or 0))
        self.store.hset(keys.tenant_usage(tenant), "events", number)

    def mark_keys_deleted(self, hash_key: str, idempotency_keys: list[str]) -> None:
        """Let idempotency keys answer that what they made was deleted."""
        if idempotency_keys:
            self.store.hset(hash_key, mapping={key: DELETED_MARKER for key in idempotency_keys})

    def advance_sequence(self, sequence_key: str, number: int) -> None:
        """Raise a sequence to at least `number`, so that no number is assigned twice."""
        current: Any = self.store.get(sequence_key)
        if int(current or 0) < number:
            self.store.set(sequence_key, number)


def _parse_part_name(name: str) -> SegmentPiece:
    """Parse the name of a part: <column>/<segment>.<suffix>."""
    column, _, file = name.partition("/")
    number, _, suffix = file.partition(".")
    return SegmentPiece(column, int(number), suffix)
