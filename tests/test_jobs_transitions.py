"""What a verb does to a job in each status: the contract's table, row by row."""

from itertools import product
from typing import Any

import pytest
import redis

from jobs.errors import IllegalTransition
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from tests.ledger_helpers import append_losses, claim_job, expire_lease, submit_job

# (status before, verb) -> what it is afterwards, or None where the verb is illegal
MOVES = {
    ("queued", "cancel"): "cancelled", ("queued", "stop"): None,
    ("queued", "pause"): "paused", ("queued", "resume"): "queued",
    ("again", "cancel"): "cancelled", ("again", "stop"): "queued",
    ("again", "pause"): "paused", ("again", "resume"): "queued",
    ("running", "cancel"): "running", ("running", "stop"): "running",
    ("running", "pause"): "running", ("running", "resume"): "running",
    ("paused", "cancel"): "cancelled", ("paused", "stop"): "queued",
    ("paused", "pause"): "paused", ("paused", "resume"): "queued",
    ("cancelled", "cancel"): "cancelled", ("cancelled", "stop"): None,
    ("cancelled", "pause"): None, ("cancelled", "resume"): None,
    ("succeeded", "cancel"): None, ("succeeded", "stop"): None,
    ("succeeded", "pause"): None, ("succeeded", "resume"): None,
    ("stopped", "stop"): "succeeded", ("failed", "cancel"): None,
}  # fmt: skip
UNDER_WAY = {
    ("running", "cancel"), ("running", "stop"), ("running", "pause"),
    ("again", "stop"), ("paused", "stop"), ("paused", "resume"),
}  # fmt: skip


def brought_to(ledger: JobLedger, lease_ledger: LeaseLedger, status: str) -> str:
    job_id = submit_job(ledger, budget={"ticks": 2})
    if status == "queued":
        return job_id
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])
    if status in ("again", "paused", "cancelled"):
        lease_ledger.finish(lease, {"again": "queued"}.get(status, status), 1, reason="drain")
    elif status in ("succeeded", "failed", "stopped"):
        append_losses(lease_ledger, lease, 2, [1.0])
        became = "failed" if status == "failed" else "succeeded"
        lease_ledger.finish(
            lease, became, 2, stopped_by="user" if status == "stopped" else "budget"
        )
    return job_id


@pytest.mark.parametrize(("status", "verb"), list(MOVES))
def test_a_verb_has_the_effect_of_the_contracts_table(
    status: str, verb: Any, ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries
) -> None:
    job_id = brought_to(ledger, lease_ledger, status)
    if (after := MOVES[status, verb]) is None:
        with pytest.raises(IllegalTransition) as caught:
            ledger.request_transition("default", job_id, verb)
        assert verb not in caught.value.allowed
        return

    response = ledger.request_transition("default", job_id, verb)

    assert response == ("under_way" if (status, verb) in UNDER_WAY else "done")
    assert index.get_job("default", job_id).status == after


def test_a_requested_cancel_is_never_displaced(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    for verb in ("pause", "cancel", "pause", "stop", "resume"):
        ledger.request_transition("default", job_id, verb)  # type: ignore[arg-type]

    assert lease_ledger.renew(lease) == "cancel"


def test_resume_withdraws_a_requested_pause(ledger: JobLedger, lease_ledger: LeaseLedger) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    ledger.request_transition("default", job_id, "pause")
    ledger.request_transition("default", job_id, "resume")

    assert lease_ledger.renew(lease) is None


def test_a_pause_takes_the_place_of_no_stop(ledger: JobLedger, lease_ledger: LeaseLedger) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])
    for verb in ("pause", "stop", "pause", "resume"):
        ledger.request_transition("default", job_id, verb)  # type: ignore[arg-type]

    assert lease_ledger.renew(lease) == "stop"


#: what may come between a stop and the worker that does it
DELAYS = ("pause", "resume", "drain", "death", "fault", "claim")


class StoppedJob:
    """A job that was asked to stop, and the worker that has it, if one has."""

    def __init__(self, ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis") -> None:
        self.ledger, self.lease_ledger, self.store = ledger, lease_ledger, store
        self.lease: Lease | None = None
        self.id = submit_job(ledger)
        self.claim()
        assert self.lease is not None
        append_losses(lease_ledger, self.lease, 1, [1.0])
        ledger.request_transition("default", self.id, "stop")

    def delay(self, event: str) -> None:
        """Let something happen; to a job without a worker no fault of one does."""
        if event in ("pause", "resume"):
            self.ledger.request_transition("default", self.id, event)  # type: ignore[arg-type]
        elif self.lease is None:
            if event == "claim":
                self.claim()
        elif event == "death":
            expire_lease(self.store, self.lease)
            self.claim()
        elif event in ("drain", "fault"):
            error: Any = {"type": "checkpoint", "detail": "no room", "tick": 1}
            if event == "drain":
                self.lease_ledger.finish(self.lease, "queued", 1, reason="drain")
            else:
                self.lease_ledger.finish(self.lease, "paused", 1, error=error)
            self.lease = None

    def claim(self) -> None:
        """Let a worker claim it, if it is queued or its worker is dead."""
        claim = self.lease_ledger.claim("cpu", worker="w", device="cpu", canaries={"1": "c1"})
        self.lease = self.lease if claim is None else claim.lease


def test_a_stop_is_done_whatever_comes_before_a_worker_does_it(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    for delays in product(DELAYS, repeat=3):
        job = StoppedJob(ledger, lease_ledger, store)
        for event in delays:
            job.delay(event)
        if index.get_job("default", job.id).status == "paused":
            ledger.request_transition("default", job.id, "resume")
        job.claim()
        assert job.lease is not None and lease_ledger.renew(job.lease) == "stop", delays
        assert lease_ledger.finish(job.lease, "succeeded", 1, stopped_by="user") == "succeeded"
