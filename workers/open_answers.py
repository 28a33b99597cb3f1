"""What a worker has in work for its answering process: short answers, and jobs about a dataset.

Each knows the command that begins it and writes what comes of it. Knows no process.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from jobs.answers.ledger import AnswerClaim, AnswerLeases
from jobs.answers.results import RESULT_FILE
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, sync_folder
from jobs.job import Checkpoint, DatasetPredictions, Evaluation
from jobs.ledger.claims import Claim, QuestionProgress
from jobs.ledger.owner import LeaseLedger
from jobs.recording.segments import Segments

Header = dict[str, Any]
MAX_DETAIL_CHARS = 2_000  # of an error in the record


class OpenAnswer(Protocol):
    """An answer in work. The methods that write raise LeaseLost."""

    id: str
    tenant: str
    parent: str
    checkpoint: Checkpoint
    renewed_at: float
    is_started: bool
    is_cancelled: bool
    is_lost: bool
    progress: tuple[int, int | None]

    def begin_again(self) -> None:
        """Have nothing done: its process is gone."""
        ...

    def command(self, common: Header) -> tuple[str, Header]:
        """Return the command that begins it; `common` is what all commands have."""
        ...

    def renew(self) -> str | None:
        """Renew its lease; return what a client requests of it."""
        ...

    def succeed(self, result: Any) -> None:
        """End it with a result."""
        ...

    def fail(self, kind: str, detail: str) -> None:
        """End it with an error."""
        ...

    def give_back(self, reason: str) -> None:
        """Put it back for another attempt."""
        ...

    def end_cancelled(self) -> None:
        """End it as cancelled."""
        ...


class _State:
    """What every answer in work has; `progress`: rows or tokens done, and of how many if known."""

    def __init__(self) -> None:
        self.progress: tuple[int, int | None] = (0, None)
        self.renewed_at = time.monotonic()
        self.is_started = self.is_cancelled = self.is_lost = False

    def begin_again(self) -> None:
        """Have nothing done: its process is gone."""
        self.is_started, self.progress = False, (0, None)


class ShortAnswer(_State):
    """A predict of rows, inputs or a prompt: in the store alone."""

    def __init__(self, claim: AnswerClaim, leases: AnswerLeases) -> None:
        super().__init__()
        self._claim, self._leases = claim, leases
        self.id, self.tenant, self.parent = claim.answer_id, claim.tenant, claim.parent
        self.checkpoint = claim.checkpoint

    def command(self, common: Header) -> tuple[str, Header]:
        """Return the command that begins it."""
        return "predict", {**common, "threads": self._claim.threads, "request": self._claim.request}

    def renew(self) -> str | None:
        """Renew its lease; return what a client requests of it."""
        return self._leases.renew(self._claim)

    def succeed(self, result: Any) -> None:
        """End it with its predictions."""
        self._leases.succeed(self._claim, result)

    def fail(self, kind: str, detail: str) -> None:
        """End it with an error."""
        self._leases.fail(self._claim, kind, detail)

    def give_back(self, reason: str) -> None:
        """Put it back for another attempt."""
        self._leases.give_back(self._claim, reason)

    def end_cancelled(self) -> None:
        """End it as cancelled."""
        self._leases.end_cancelled(self._claim)


class DatasetAnswer(_State):
    """A job of the ledger that predicts a dataset, or evaluates a net on one."""

    def __init__(
        self,
        claim: Claim,
        question: Header,
        ledger: LeaseLedger,
        files: ArtifactStore,
        segments: Segments,
    ) -> None:
        """`question`: the job's, as jobs/answers/service.py makes it, and bounds of its file."""
        super().__init__()
        self._begun_at = time.monotonic() - claim.elapsed
        self._lease, self._tick, self._threads = claim.lease, claim.tick, claim.spec.compute.threads
        self._question, self._ledger = question, ledger
        self._files, self._segments = files, segments
        self.id, self.tenant = claim.lease.job_id, claim.lease.tenant
        self.parent, self.checkpoint = question["parent"], question["checkpoint"]

    @property
    def _is_predict(self) -> bool:
        return bool(self._question["kind"] == "predict")

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begun_at

    @property
    def _draft(self) -> Path:
        """Where this attempt writes: its own file, so that no other attempt writes into it."""
        return self._folder / f"{RESULT_FILE}.{self._lease.term}"

    @property
    def _folder(self) -> Path:
        return self._files.job_folder(self.tenant, self.id)

    def command(self, common: Header) -> tuple[str, Header]:
        """Return the command that begins it."""
        file, root = self._question["file"], str(self._files.root)
        header = {**common, "threads": self._threads, "artifacts": root, "file": file}
        if not self._is_predict:
            return "evaluate", {**header, "drops_gaps": self._question["drops_gaps"]}
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(f"{RESULT_FILE}.*"):  # of earlier attempts
            left.unlink(missing_ok=True)
        bounds = {name: self._question[name] for name in ("max_bytes", "min_free_bytes")}
        return "predict_dataset", {**header, "output": str(self._draft), **bounds}

    def renew(self) -> str | None:
        """Renew its lease; return what a client requests of it."""
        phase = "predicting" if self._is_predict else "validating"
        progress = QuestionProgress(self._elapsed, *self.progress)
        return self._ledger.renew(self._lease, phase=phase, progress=progress)

    def succeed(self, result: Any) -> None:
        """End it: first its file under its name, then the record."""
        if not self._is_predict:
            self._finish("succeeded", result=Evaluation.model_validate(result), file_bytes=0)
            return
        with suppress(FileNotFoundError):  # called again after the store did not answer
            os.rename(self._draft, self._folder / RESULT_FILE)
            sync_folder(self._folder)
        size = (self._folder / RESULT_FILE).stat().st_size
        predictions = DatasetPredictions(rows=result["rows"], errors=result["errors"], bytes=size)
        self._finish("succeeded", result=predictions, file_bytes=size)

    def fail(self, kind: str, detail: str) -> None:
        """End it with an error."""
        error = {"type": kind, "detail": detail[:MAX_DETAIL_CHARS], "tick": None}
        self._finish("failed", error=error)

    def give_back(self, reason: str) -> None:
        """Put it back for another attempt."""
        self._finish("queued", reason=reason[:MAX_DETAIL_CHARS])

    def end_cancelled(self) -> None:
        """End it as cancelled."""
        self._finish("cancelled")

    def _finish(self, status: str, **fields: Any) -> None:
        fields["elapsed"] = self._elapsed
        status = self._ledger.finish(self._lease, status, self._tick, **fields)
        if status != "succeeded":
            self._draft.unlink(missing_ok=True)
        if status != "queued":
            with suppress(Exception):  # the reconciler archives it later
                self._segments.finalize(self.tenant, self.id)


def checkpoint_files(files: ArtifactStore, answer: OpenAnswer) -> Header:
    """Return the files of an answer's checkpoint as commands name them. Raises UnsafePath."""
    checkpoint = answer.checkpoint
    folder = checkpoint_folders.folder_path(files, answer.tenant, answer.parent, checkpoint)
    digests = {file.name: file.sha256 for file in checkpoint.files}
    return {
        "folder": str(folder),
        "config_sha256": digests.get("config.json"),
        "weights_sha256": digests.get(checkpoint_folders.WEIGHTS_FILE),
    }
