"""What clients do with checkpoints: ask for one now, name it, pin it, delete it.

A name and a pin stand in the checkpoint's record and change nothing of its files. Knows no HTTP.
"""

from typing import Any, Literal

from jobs import checkpoints, keys, logs
from jobs.archive.jobs import Archive
from jobs.errors import (
    Gone,
    IdempotencyMismatch,
    IllegalMove,
    LastCheckpoint,
    NoSuchCheckpoint,
    NoSuchJob,
    StoreFull,
)
from jobs.files import Files
from jobs.index import Index
from jobs.job import Checkpoint
from jobs.kept import Wanted
from jobs.record import read_checkpoint, write_checkpoint
from jobs.scripts import Scripts
from jobs.store import Store


class Care:
    """Changes checkpoints of any job. Every method raises NoSuchJob."""

    def __init__(self, store: Store, files: Files, archive: Archive) -> None:
        self._store, self._files, self._archive = store, files, archive
        self._index, self._scripts = Index(store), Scripts(store)

    def want(
        self,
        tenant: str,
        job_id: str,
        wanted: Wanted,
        *,
        idempotency_key: str | None = None,
        body_digest: str = "-",
    ) -> Literal["asked", "asked before"]:
        """Ask a running job for a checkpoint at the end of its chunk, beside what is requested.

        Raises IllegalMove (with what is allowed) when it does not run, IdempotencyMismatch or Gone.
        """
        header = {
            "member": keys.member(tenant, job_id),
            "verb": "checkpoint",
            "name": wanted.name,
            "pinned": wanted.pinned,
            "idempotency_key": idempotency_key,
            "body_digest": body_digest,
        }
        answer, *rest = (text.decode() for text in self._scripts.call("request", header))
        match answer:
            case "gone":
                raise NoSuchJob(job_id)
            case "illegal":
                raise IllegalMove("save a checkpoint of", rest[0], rest[1:])
            case "mismatch":
                raise IdempotencyMismatch(idempotency_key)
            case "deleted":
                raise Gone(idempotency_key)
            case "same":
                return "asked before"
        return "asked"

    def answered(self, tenant: str, job_id: str, idempotency_key: str, answer: str) -> None:
        """Keep the answer to `want`, for whoever sends it again."""
        header = {"member": keys.member(tenant, job_id), "idempotency_key": idempotency_key}
        self._scripts.call("answered", header, answer)

    def first_answer(self, tenant: str, job_id: str, idempotency_key: str) -> str | None:
        """Return what `want` was answered under this key, if that is known."""
        text: Any = self._store.hget(keys.answers(tenant, job_id), idempotency_key)
        return bytes(text).decode() if text else None

    def say(self, tenant: str, job_id: str, which: str, said: dict[str, Any]) -> Checkpoint:
        """Change a checkpoint's `name` or `pinned`. Raises NoSuchCheckpoint."""
        while True:
            checkpoint = self._index.checkpoint(tenant, job_id, which)
            if self._replaced(tenant, job_id, checkpoint.tick, said):
                self._archive.job(tenant, job_id)
                return self._index.checkpoint(tenant, job_id, str(checkpoint.tick))

    def delete(self, tenant: str, job_id: str, which: str) -> None:
        """Let a checkpoint count no more, and remove its files.

        Raises NoSuchCheckpoint, or LastCheckpoint of a live job.
        """
        tick = self._index.checkpoint(tenant, job_id, which).tick
        header = {"member": keys.member(tenant, job_id), "tick": tick}
        answer, *rest = self._scripts.call("delete_checkpoint", header)
        if answer == b"gone":
            raise NoSuchJob(job_id)
        if answer == b"none":
            raise NoSuchCheckpoint(which)
        if answer == b"last":
            raise LastCheckpoint(rest[0].decode())
        try:
            self._archive.job(tenant, job_id)
        except StoreFull:  # what is deleted may be what makes room
            self._remove(tenant, job_id, read_checkpoint(rest[0]))
            self._archive.job(tenant, job_id)
        self._remove(tenant, job_id, read_checkpoint(rest[0]))

    def _remove(self, tenant: str, job_id: str, checkpoint: Checkpoint) -> None:
        try:
            checkpoints.remove(self._files, tenant, job_id, checkpoint)
        except OSError as error:  # it is gone all the same; a sweep or the job's end frees the disk
            logs.get("care").warning("files not removed", job=job_id, error=repr(error))

    def _replaced(self, tenant: str, job_id: str, tick: int, said: dict[str, Any]) -> bool:
        """Whether the record could be changed; not, where another change came first."""
        known: Any = self._store.hget(keys.checkpoints(tenant, job_id), str(tick))
        if known is None:
            return False  # the next look tells whether it is gone
        new = write_checkpoint(read_checkpoint(known).model_copy(update=said))
        header = {"member": keys.member(tenant, job_id), "tick": tick}
        answer = self._scripts.call("say_of_checkpoint", header, known, new)[0]
        if answer == b"gone":
            raise NoSuchJob(job_id)
        return answer == b"ok"
