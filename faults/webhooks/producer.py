"""Jobs whose events are sent, run through the ledger as a worker would. Trains nothing."""

import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.spec.reading import read_spec
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, Store

TENANT = "default"
EVENTS_OF_A_JOB = 20
MAX_OUTBOX = 5000  # the producer waits beyond, so that nothing is dropped
SPEC = {
    "model": {"family": "mlp", "hidden": [4]},
    "data": {"source": "synthetic", "kind": "regression", "samples": 32, "features": 3},
    "budget": {"ticks": 1000},
}
T = TypeVar("T")
EventName = tuple[str, str, int]  # job, type, tick


class Producer(threading.Thread):
    """A thread that runs jobs, some events each; `events` has those of each job in their order."""

    def __init__(self, store: Store, count: int) -> None:
        super().__init__(name="producer", daemon=True)
        self._store, self._count = store, count
        self._ledger, self._owner = JobLedger(store), LeaseLedger(store, 600)
        self.events: dict[str, list[EventName]] = defaultdict(list)
        self.is_done = False

    def run(self) -> None:
        """Run all jobs, and wait while too many events are in the outbox."""
        spec = read_spec(SPEC, max_parameters=10**6)
        for number in range(self._count // EVENTS_OF_A_JOB):
            while self._try(self._count_outbox) > MAX_OUTBOX:
                time.sleep(0.1)
            key, nonce = f"job-{number}", secrets.token_hex(16)
            submit = partial(self._ledger.submit, TENANT, spec, idempotency_key=key)
            job_id = self._try(submit).job_id
            self._run_job(job_id, nonce)
        self.is_done = True

    def _run_job(self, job_id: str, nonce: str) -> None:
        claim = self._try(
            lambda: self._owner.claim(
                "cpu", worker="w", device="cpu", canaries={"1": "c"}, nonce=nonce
            )
        )
        assert claim is not None and claim.lease.job_id == job_id
        happened = self.events[job_id]
        happened.append((job_id, "job.started", 0))
        for tick in range(1, EVENTS_OF_A_JOB - 1):
            self._try(partial(self._validate, claim.lease, tick))
            happened.append((job_id, "job.validated", tick))
        last = EVENTS_OF_A_JOB - 2
        self._try(lambda: self._owner.finish(claim.lease, "succeeded", last, stopped_by="user"))
        happened.append((job_id, "job.succeeded", EVENTS_OF_A_JOB - 2))

    def _validate(self, lease: Lease, tick: int) -> None:
        point = tick.to_bytes(8, "little") + bytes(8)
        metrics = json.dumps({"val_loss": 1 / tick})
        columns = {"loss": bytes(4)}
        self._owner.append_ticks(
            lease, tick, 1, columns, {}, 0, {"val_loss": point}, metrics=metrics
        )

    def _count_outbox(self) -> int:
        return int(self._store.xlen(keys.webhook_outbox(TENANT)))

    def _try(self, act: Callable[[], T]) -> T:
        """Call the ledger until the store takes it; each call may be sent twice."""
        while True:
            try:
                return act()
            except UNAVAILABLE:
                time.sleep(0.1)
