"""model.onnx of checkpoints: found, or asked for. Knows no HTTP."""

import json
from typing import Any, Literal

from pydantic import BaseModel, Field

from jobs.answers.ledger import (
    EXPORT_HOLD_SECONDS,
    AnswerLedger,
    AnswerLimits,
    NewAnswer,
    export_id,
)
from jobs.answers.net_config import NetConfigs
from jobs.errors import ExportFailed, NoExportWorker, NoSuchCheckpoint, NotExportable
from jobs.files.artifacts import ArtifactStore
from jobs.files.checkpoint_folders import WEIGHTS_FILE, DamagedCheckpoint
from jobs.files.exported_files import ONNX_FILE
from jobs.job import Checkpoint, Job
from jobs.queries.worker_registry import live_workers
from jobs.spec.onnx_limits import REQUIREMENTS, find_obstacle
from jobs.store import keys
from jobs.store.codec import parse_checkpoint
from jobs.store.connection import Store, read_clock_ms

MOVING_SELECTORS = ("latest", "best")  # that name another checkpoint later


class ExportInWork(BaseModel):
    """A file that is being made: ask again after Retry-After seconds."""

    name: str = Field(description="of the file")
    tick: int = Field(description="of the checkpoint")
    status: Literal["queued", "running"]
    attempt: int = Field(description="how often a worker has begun it")


class OnnxExports:
    """Asks workers for model.onnx."""

    def __init__(self, store: Store, files: ArtifactStore, limits: AnswerLimits) -> None:
        self._store, self._files, self._limits = store, files, limits
        self._ledger, self._configs = AnswerLedger(store), NetConfigs(files)

    def find_asked(
        self, tenant: str, job_id: str, selector: str, checkpoint: Checkpoint
    ) -> Checkpoint:
        """Return the checkpoint whose file a selector was asked for, if that is not fetched yet.

        Without one it is `checkpoint`, which the selector names now: `latest` may be another one at
        each request, and its file would never be there.
        """
        entry: Any = self._store.hget(keys.asked_exports(tenant, job_id), selector)
        tick, _, folder = (entry or b"").decode().partition(" ")
        if folder in ("", checkpoint.folder) or not self._is_due(tenant, job_id, folder):
            return checkpoint
        text: Any = self._store.hget(keys.checkpoints(tenant, job_id), tick)
        older = None if text is None else parse_checkpoint(text)
        return checkpoint if older is None or older.folder != folder else older

    def _is_due(self, tenant: str, job_id: str, folder: str) -> bool:
        """Return whether an export is in work, has failed, or is to be fetched."""
        record = self._read(tenant, job_id, folder)
        if record.get("status") != "succeeded":
            return "status" in record
        age = read_clock_ms(self._store) - int(record["finished_ms"])
        return age < 1000 * EXPORT_HOLD_SECONDS

    def request(self, job: Job, checkpoint: Checkpoint, selector: str) -> ExportInWork:
        """Ask for a file that is missing; return how far it is.

        Raises NotExportable, NoExportWorker, ExportFailed, NoSuchCheckpoint, DamagedCheckpoint,
        QueueFull or StoreFull.
        """
        record = self._read(job.tenant, job.id, checkpoint.folder)
        is_new = record.get("status") not in ("queued", "running", "failed")
        if is_new:
            self._check_net(job, checkpoint)
        if record.get("status") != "failed":
            self._check_workers()  # those who could make it may be gone since it was asked for
        if is_new:
            name = f"{ONNX_FILE} of {job.id}"
            new = NewAnswer(
                job.id, name, checkpoint, job.spec.compute.threads, {},
                selector if selector in MOVING_SELECTORS else None,
            )  # fmt: skip
            self._ledger.submit_export(job.tenant, new, self._limits)
            record = self._read(job.tenant, job.id, checkpoint.folder)
        if record.get("status") == "failed":
            raise self._failure(json.loads(record["error"]))
        is_queued = record.get("status") == "queued"
        return ExportInWork(
            name=ONNX_FILE,
            tick=checkpoint.tick,
            status="queued" if is_queued else "running",
            attempt=int(record.get("attempt", 0)),
        )

    def _check_net(self, job: Job, checkpoint: Checkpoint) -> None:
        config = self._configs.read(job.tenant, job.id, checkpoint)
        (size,) = (file.bytes for file in checkpoint.files if file.name == WEIGHTS_FILE)
        if (rule := find_obstacle(config, size)) is not None:
            raise NotExportable(f"{ONNX_FILE} needs {rule}")
        self._files.check_free_space(size)

    def _check_workers(self) -> None:
        if not any(ONNX_FILE in worker.get("exports", ()) for worker in live_workers(self._store)):
            raise NoExportWorker(
                f"no live worker can make {ONNX_FILE}: one needs what {REQUIREMENTS} lists"
            )

    def _failure(self, error: dict[str, Any]) -> Exception:
        kind, detail = error["type"], error["detail"]
        if kind == "checkpoint-gone":
            return NoSuchCheckpoint(detail)
        if kind == "damaged":
            return DamagedCheckpoint(detail)
        if kind == "invalid-input":
            return NotExportable(f"{ONNX_FILE} needs {detail}")
        seconds = int(self._limits.ttl_seconds)
        return ExportFailed(f"{detail}; tried again when asked {seconds} s after that")

    def _read(self, tenant: str, job_id: str, folder: str) -> dict[str, str]:
        key = keys.answer(tenant, export_id(job_id, folder))
        names = ("status", "attempt", "error", "finished_ms")
        values: Any = self._store.hmget(key, *names)
        pairs = zip(names, values, strict=True)
        return {name: value.decode() for name, value in pairs if value is not None}
