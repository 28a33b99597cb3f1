"""A job that is deleted leaves nothing of its history, moved to files, on its way, or not."""

from pathlib import Path

import numpy as np
import pytest
import redis

from jobs.errors import NoSuchJob
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.recording.segments import Segments
from jobs.recording.writer import HistoryWriter
from jobs.spec.reading import read_spec
from jobs.store import keys
from tests.edited_scripts import EditedScripts
from tests.ledger_helpers import append_losses, claim_job, submit_job
from tests.support import small_spec


class Deleting(JobLedger):
    """A ledger on which a client deletes the job just before a segment's move is recorded."""

    def __init__(self, store: "redis.Redis", files: ArtifactStore) -> None:
        super().__init__(store)
        self._files_of_jobs = files

    def move_segment(self, tenant: str, job_id: str, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        self.delete(tenant, job_id)
        self._files_of_jobs.remove_job(tenant, job_id)
        # the files of this segment were written before: the removal has just taken them
        (self._files_of_jobs.job_folder(tenant, job_id) / "history").mkdir(parents=True)
        super().move_segment(tenant, job_id, *args, **kwargs)


def test_a_job_deleted_while_its_history_moves_leaves_no_file(
    store: "redis.Redis", tmp_path: Path
) -> None:
    files = ArtifactStore(tmp_path)
    ledger = Deleting(store, files)
    job_id = ledger.submit("default", read_spec(small_spec(), max_parameters=10**9)).job_id
    lease_ledger = LeaseLedger(store, lease_seconds=60)
    claim = lease_ledger.claim("cpu", worker="w", device="cpu", canaries={})
    assert claim is not None
    recorder = HistoryWriter(lease_ledger, store, files, claim.lease)
    recorder.append(1, {"loss": np.ones(20, np.float32)})
    lease_ledger.finish(claim.lease, "cancelled", 20)

    with pytest.raises(NoSuchJob):
        Segments(ledger, store, files).finalize("default", job_id)

    assert not files.job_folder("default", job_id).exists()


def test_a_deleted_job_leaves_no_tick_of_segments_that_had_not_moved(
    store: "redis.Redis",
) -> None:
    ledger, lease_ledger = JobLedger(store), LeaseLedger(store, lease_seconds=60)
    scripts = EditedScripts(store, [("SEGMENT = 1048576", "SEGMENT = 4")])
    ledger._scripts = lease_ledger._scripts = scripts
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    for first in (1, 5, 9):
        append_losses(lease_ledger, lease, first, [1.0] * 4)
    lease_ledger.finish(lease, "cancelled", 12)
    columns = keys.job("default", job_id) + ":f32:*"
    assert len(store.keys(columns)) == 3  # type: ignore[arg-type]

    ledger.delete("default", job_id)

    assert store.keys(columns) == []
