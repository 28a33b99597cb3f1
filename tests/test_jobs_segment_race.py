"""Two movers of one history, a runner and a reconciler, in the worst order: no byte is lost."""

from collections.abc import Callable
from typing import Any

import numpy as np
import redis

from jobs.ledger.client import JobLedger
from jobs.recording.segments import Segments
from jobs.settings import Settings
from tests.manual_worker import ManualWorker


class Overtaken(redis.Redis):
    """A client before whose first GET another process does something."""

    first: Callable[[], Any] | None = None

    def get(self, name: Any) -> Any:
        if self.first is not None:
            act, self.first = self.first, None
            act()
        return super().get(name)


def test_a_mover_that_was_overtaken_leaves_the_files_of_the_other(
    store: "redis.Redis",
    store_server: str,
    settings: Settings,
    submit: Callable[..., str],
    client: Any,
) -> None:
    job_id = submit(budget={"ticks": 5000})
    worker = ManualWorker(store, settings)
    losses = np.arange(5000, dtype=np.float32)
    worker.record(losses)
    worker.end()
    quick = Segments(JobLedger(store), store, worker.files)
    slow_store = Overtaken.from_url(store_server)
    slow = Segments(JobLedger(store), slow_store, worker.files)

    slow_store.first = lambda: quick.finalize("default", job_id)
    slow.finalize("default", job_id)
    slow_store.close()

    response = client.get(
        f"/v1/jobs/{job_id}/history", headers={"Accept": "application/octet-stream"}
    )
    assert response.status_code == 200
    assert response.data == losses.tobytes()
