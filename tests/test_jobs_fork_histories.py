"""A fork's history beyond the border of a segment: copied, gone on with, lost and built again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import redis

from jobs.history.summary_rows import SEGMENT
from jobs.settings import Settings
from tests.manual_worker import ManualWorker
from tests.test_api_forks import state_at
from tests.test_jobs_archive import RebuildHarness, seal

BINARY = {"Accept": "application/octet-stream"}
TICK, TICKS = SEGMENT + 3000, SEGMENT + 5000


def losses(client: Any, job_id: str, query: str = "") -> np.ndarray:
    response = client.get(f"/v1/jobs/{job_id}/history?{query}", headers=BINARY)
    assert response.status_code == 200, response.text
    return np.frombuffer(response.data, "<f4")


def test_a_history_of_several_segments_is_copied_continued_and_rebuilt(
    client: Any, submit: Callable[..., str], store: "redis.Redis", settings: Settings
) -> None:
    recorded = np.random.default_rng(0).normal(size=TICKS + 10).astype(np.float32)
    parent = submit(budget={"ticks": TICKS})
    worker = ManualWorker(store, settings)
    worker.record(recorded[:TICK])
    worker.save(b"weights", (), state_at(TICK, best=None))
    worker.record(recorded[TICK:TICKS])
    worker.end(stopped_by="budget")
    rebuilder = RebuildHarness(store, settings)
    seal(rebuilder, parent)
    body = {"tick": TICK, "spec": {"budget": {"ticks": TICKS + 10}}}
    response = client.post(f"/v1/jobs/{parent}/fork", json=body)
    assert response.status_code == 202, response.text
    job_id = response.json["id"]

    def look() -> list[Any]:
        path = f"/v1/jobs/{job_id}"
        view = client.get(f"{path}/history?points=7&lineage=true").json
        usage = client.get("/v1/usage").json
        return [
            client.get(path).json,
            view,
            losses(client, job_id, "lineage=true").tobytes(),
            usage,
        ]

    before = look()
    assert before[2] == recorded[:TICK].tobytes()
    assert max(before[1]["loss"]["max"]) == recorded[:TICK].max()
    assert losses(client, job_id).size == 0
    assert rebuilder.lose_and_rebuild() == 0
    assert look() == before

    assert client.delete(f"/v1/jobs/{parent}").status_code == 204
    worker = ManualWorker(store, settings)
    assert (worker.lease.job_id, worker.tick, worker.claim.fork_tick) == (job_id, TICK, TICK)
    worker.record(recorded[TICK:])
    worker.save(b"more weights")
    worker.end(stopped_by="budget")
    seal(rebuilder, job_id)
    assert losses(client, job_id).tobytes() == recorded[TICK:].tobytes()
    assert losses(client, job_id, "lineage=true").tobytes() == recorded.tobytes()
    assert rebuilder.lose_and_rebuild() == 0
    assert losses(client, job_id, "lineage=true").tobytes() == recorded.tobytes()
