"""Claims jobs that ask a net about a dataset, for the answering process. Knows no process."""

import json
from typing import Any

from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import ANSWERS_QUEUE, JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.recording.segments import Segments
from jobs.store import keys
from jobs.store.codec import parse_checkpoint
from jobs.store.connection import Store
from workers.open_answers import DatasetAnswer, OpenAnswer
from workers.worker_folder import WorkerConfig


class DatasetClaims:
    """The jobs about datasets that one worker takes, one at a time."""

    def __init__(self, store: Store, files: ArtifactStore, config: WorkerConfig) -> None:
        self._store, self._files, self._name = store, files, config.name
        self._settings = config.settings
        self._ledger = LeaseLedger(store, config.settings.lease_seconds)
        self._segments = Segments(JobLedger(store), store, files)

    def claim(self) -> DatasetAnswer | None:
        """Become the owner of the first such job, or return None."""
        claim = self._ledger.claim(ANSWERS_QUEUE, worker=self._name, device="cpu", canaries={})
        if claim is None:
            return None
        key = keys.job(claim.lease.tenant, claim.lease.job_id)
        record: Any = self._store.hmget(key, "kind", "parent", "question")
        kind, parent, text = record
        question: dict[str, Any] = json.loads(text)
        checkpoint = parse_checkpoint(json.dumps(question["checkpoint"]).encode())
        question |= {"kind": kind.decode(), "parent": parent.decode(), "checkpoint": checkpoint}
        question.setdefault("max_bytes", self._settings.max_result_bytes)  # of an earlier build
        question["min_free_bytes"] = self._settings.min_free_bytes
        return DatasetAnswer(claim, question, self._ledger, self._files, self._segments)

    def is_one(self, answer: OpenAnswer) -> bool:
        """Return whether an answer in work is such a job."""
        return isinstance(answer, DatasetAnswer)
