"""Many jobs that ended at once are finalized soon: a round goes on while it makes progress."""

import pytest
import redis

from jobs.ledger.client import JobLedger
from jobs.settings import Settings
from jobs.spec.reading import read_spec
from jobs.store import keys
from tests.support import small_spec
from workers.forkserver_client import ForkServerProcess
from workers.reconciler import Reconciler
from workers.worker_folder import WorkerConfig, WorkerFolder

CROWD = 60  # more than one look at the unsealed takes


def test_many_cancelled_jobs_are_finalized_in_one_round(
    store: "redis.Redis", ledger: JobLedger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reconciler.MAX_FINALIZE_SECONDS", 60.0)  # on a busy machine
    spec = read_spec(small_spec(), max_parameters=10**6)
    for _ in range(CROWD):
        ledger.request_transition("default", ledger.submit("default", spec).job_id, "cancel")
    assert store.scard(keys.UNFINALIZED_JOBS) == CROWD

    folder = WorkerFolder()
    reconciler = Reconciler(
        WorkerConfig("by-hand", "cpu", settings, folder), ForkServerProcess(folder.socket_path)
    )
    reconciler.finalize_ended_jobs()
    folder.remove()

    assert store.scard(keys.UNFINALIZED_JOBS) == 0
