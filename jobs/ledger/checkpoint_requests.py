"""What clients do with checkpoints: request one now, name it, pin it, delete it.

Names and pins are in a checkpoint's record; its files never change. Knows no HTTP.
"""

from typing import Any, Literal

from jobs import logs
from jobs.archive.jobs import JobArchive
from jobs.errors import (
    IdempotencyMismatch,
    IdempotentResultDeleted,
    IllegalTransition,
    LastCheckpoint,
    NoSuchCheckpoint,
    NoSuchJob,
    StoreFull,
)
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.job import Checkpoint
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
        *,
        idempotency_key: str | None = None,
        body_digest: str = "-",
    ) -> Literal["requested", "repeated"]:
        """Request a checkpoint of a running job at the end of its current chunk.

        Raises IllegalTransition, with the actions that are allowed, for a job that does not run,
        IdempotencyMismatch, IdempotentResultDeleted or QuotaExceeded.
        """
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
        return "repeated" if answer == "same" else "requested"

    def store_response(self, tenant: str, job_id: str, idempotency_key: str, response: str) -> None:
        """Store the response to `request`, to be sent again for its idempotency key."""
        header = {"member": keys.job_member(tenant, job_id), "idempotency_key": idempotency_key}
        self._scripts.call("store_response", header, response)

    def get_stored_response(self, tenant: str, job_id: str, idempotency_key: str) -> str | None:
        """Return the stored response to `request` under this key, or None."""
        text: Any = self._store.hget(keys.checkpoint_responses(tenant, job_id), idempotency_key)
        return bytes(text).decode() if text else None

    def update(self, tenant: str, job_id: str, selector: str, fields: dict[str, Any]) -> Checkpoint:
        """Change `name` or `pinned` of a checkpoint. Raises NoSuchCheckpoint."""
        while True:
            checkpoint = self._queries.get_checkpoint(tenant, job_id, selector)
            if self._try_replace(tenant, job_id, checkpoint.tick, fields):
                self._archive.save(tenant, job_id)
                return self._queries.get_checkpoint(tenant, job_id, str(checkpoint.tick))

    def delete(self, tenant: str, job_id: str, selector: str) -> None:
        """Remove a checkpoint's record, then its files.

        Raises NoSuchCheckpoint, or LastCheckpoint for the only one of a live job.
        """
        tick = self._queries.get_checkpoint(tenant, job_id, selector).tick
        header = {"member": keys.job_member(tenant, job_id), "tick": tick}
        answer, *rest = self._scripts.call("delete_checkpoint", header)
        if answer == b"gone":
            raise NoSuchJob(job_id)
        if answer == b"none":
            raise NoSuchCheckpoint(selector)
        if answer == b"last":
            raise LastCheckpoint(rest[0].decode())
        try:
            self._archive.save(tenant, job_id)
        except StoreFull:  # removing the files may make the room that the record needs
            self._remove_files(tenant, job_id, parse_checkpoint(rest[0]))
            self._archive.save(tenant, job_id)
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
