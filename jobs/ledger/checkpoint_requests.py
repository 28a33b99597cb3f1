"""What clients do with checkpoints: request one now, name it, pin it, delete it.

Names and pins are in a checkpoint's record; its files never change. Knows no HTTP.
"""

from collections.abc import Callable
from typing import Any

from jobs import logs
from jobs.archive.jobs import JobArchive
from jobs.archive.request_records import MAX_REQUEST_BYTES
from jobs.errors import (
    IdempotencyMismatch,
    IdempotentResultDeleted,
    IllegalTransition,
    LastCheckpoint,
    NoSuchCheckpoint,
    NoSuchJob,
)
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.job import Checkpoint, Job
from jobs.ledger.checkpoint_set import RequestedCheckpoint
from jobs.queries.jobs import JobQueries
from jobs.store import keys
from jobs.store.codec import encode_checkpoint, parse_checkpoint
from jobs.store.connection import Store
from jobs.store.scripts import Scripts, check_quota


class CheckpointRequests:
    """Changes checkpoints of any job. Every method raises NoSuchJob."""

    def __init__(self, store: Store, files: ArtifactStore, archive: JobArchive) -> None:
        self._store, self._files, self._archive = store, files, archive
        self._queries, self._scripts = JobQueries(store), Scripts(store)

    def request(
        self,
        tenant: str,
        job_id: str,
        checkpoint: RequestedCheckpoint,
        encode_response: Callable[[Job], str],
        *,
        idempotency_key: str | None = None,
        body_digest: str = "-",
    ) -> tuple[bool, Job]:
        """Request a checkpoint of a running job at the end of its current chunk.

        Returns whether it repeats an earlier request, and the job; else the response is kept for
        the idempotency key. Raises IllegalTransition, with the actions that are allowed, for a job
        that does not run, IdempotencyMismatch, IdempotentResultDeleted or QuotaExceeded.
        """
        archive = self._archive
        with archive.reserve(MAX_REQUEST_BYTES) as room, archive.reserve_change() as room_for_job:
            is_repeated = self._request(tenant, job_id, checkpoint, idempotency_key, body_digest)
            job = self._queries.get_job(tenant, job_id)
            if idempotency_key:
                if not is_repeated:
                    response = encode_response(job)
                    self._store_response(tenant, job_id, idempotency_key, response)
                else:
                    response = self.get_stored_response(tenant, job_id, idempotency_key) or ""
                request = (idempotency_key, body_digest, response)
                archive.ensure_request_saved(tenant, job_id, *request, room)
            archive.save_change(tenant, job_id, room_for_job)
        return is_repeated, job

    def _request(
        self, tenant: str, job_id: str, checkpoint: RequestedCheckpoint,
        idempotency_key: str | None, body_digest: str,
    ) -> bool:  # fmt: skip
        """Record the request, or return True if this idempotency key has made it already."""
        header = {
            "member": keys.job_member(tenant, job_id),
            "verb": "checkpoint",
            "name": checkpoint.name,
            "pinned": checkpoint.pinned,
            "idempotency_key": idempotency_key,
            "body_digest": body_digest,
        }
        reply = self._scripts.call("request_transition", header)
        check_quota(reply[0], reply[1:])
        answer, *rest = (text.decode() for text in reply)
        match answer:
            case "gone":
                raise NoSuchJob(job_id)
            case "illegal":
                raise IllegalTransition("save a checkpoint of", rest[0], rest[1:])
            case "mismatch":
                raise IdempotencyMismatch(idempotency_key)
            case "deleted":
                raise IdempotentResultDeleted(idempotency_key)
        return answer == "same"

    def _store_response(
        self, tenant: str, job_id: str, idempotency_key: str, response: str
    ) -> None:
        header = {"member": keys.job_member(tenant, job_id), "idempotency_key": idempotency_key}
        self._scripts.call("store_response", header, response)

    def get_stored_response(self, tenant: str, job_id: str, idempotency_key: str) -> str | None:
        """Return the stored response to `request` under this key, or None."""
        text: Any = self._store.hget(keys.checkpoint_responses(tenant, job_id), idempotency_key)
        return bytes(text).decode() if text else None

    def update(self, tenant: str, job_id: str, selector: str, fields: dict[str, Any]) -> Checkpoint:
        """Change `name` or `pinned` of a checkpoint. Raises NoSuchCheckpoint."""
        with self._archive.reserve_change() as reservation:
            checkpoint = self._queries.get_checkpoint(tenant, job_id, selector)
            while not self._try_replace(tenant, job_id, checkpoint.tick, fields):
                checkpoint = self._queries.get_checkpoint(tenant, job_id, selector)
            self._archive.save_change(tenant, job_id, reservation)
        return self._queries.get_checkpoint(tenant, job_id, str(checkpoint.tick))

    def delete(self, tenant: str, job_id: str, selector: str) -> None:
        """Remove a checkpoint's record, then its files.

        Raises NoSuchCheckpoint, or LastCheckpoint for the only one of a live job.
        """
        try:
            tick = self._queries.get_checkpoint(tenant, job_id, selector).tick
        except NoSuchCheckpoint:  # perhaps by an earlier try, which could not be archived
            self._archive.ensure_not_owed(tenant, job_id)
            raise
        header = {"member": keys.job_member(tenant, job_id), "tick": tick}
        with self._archive.reserve_change() as reservation:
            answer, *rest = self._scripts.call("delete_checkpoint", header)
            if answer == b"gone":
                raise NoSuchJob(job_id)
            if answer == b"none":
                raise NoSuchCheckpoint(selector)
            if answer == b"last":
                raise LastCheckpoint(rest[0].decode())
            self._archive.save_change(tenant, job_id, reservation)
        self._remove_files(tenant, job_id, parse_checkpoint(rest[0]))

    def delete_expired(self, tenant: str, job_id: str) -> None:
        """Remove the checkpoints that questions alone kept, but those that one holds still."""
        text: Any = self._store.hget(keys.job(tenant, job_id), "held")
        for tick in map(int, (text or b"").split()):
            header = {"member": keys.job_member(tenant, job_id), "tick": tick, "is_expired": True}
            with self._archive.reserve_change() as reservation:
                answer, *rest = self._scripts.call("delete_checkpoint", header)
                if answer == b"gone":
                    raise NoSuchJob(job_id)
                if answer != b"ok":
                    continue
                self._archive.save_change(tenant, job_id, reservation)
            self._remove_files(tenant, job_id, parse_checkpoint(rest[0]))

    def _remove_files(self, tenant: str, job_id: str, checkpoint: Checkpoint) -> None:
        try:
            checkpoint_folders.remove_folder(self._files, tenant, job_id, checkpoint)
        except OSError as error:
            # the record is gone; the next attempt's remove_orphans, or the job's deletion, does it
            log = logs.get_logger("checkpoints")
            log.warning("files not removed", job=job_id, error=repr(error))

    def _try_replace(self, tenant: str, job_id: str, tick: int, changes: dict[str, Any]) -> bool:
        """Replace the record; return False where another change came first."""
        current: Any = self._store.hget(keys.checkpoints(tenant, job_id), str(tick))
        if current is None:
            return False  # the caller reads again and sees whether it was deleted
        updated = encode_checkpoint(parse_checkpoint(current).model_copy(update=changes))
        header = {"member": keys.job_member(tenant, job_id), "tick": tick}
        answer = self._scripts.call("update_checkpoint", header, current, updated)[0]
        if answer == b"gone":
            raise NoSuchJob(job_id)
        return answer == b"ok"
