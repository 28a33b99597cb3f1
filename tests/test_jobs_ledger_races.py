"""Events between two calls of an owner: requests, other clocks, calls that arrive twice."""

import time
from typing import Any

import pytest
import redis

from jobs.errors import LeaseLost
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.store import keys
from tests.ledger_helpers import append_losses, claim_job, expire_lease, submit_job


@pytest.mark.parametrize(
    ("verb", "becomes", "still_requested"),
    [("cancel", "cancelled", None), ("stop", "queued", "stop"), ("resume", "queued", None)],
)
def test_the_latest_request_counts_also_while_the_owner_pauses(
    ledger: JobLedger,
    lease_ledger: LeaseLedger,
    index: JobQueries,
    verb: Any,
    becomes: str,
    still_requested: str | None,
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])
    ledger.request_transition("default", job_id, "pause")
    ledger.request_transition("default", job_id, verb)  # the owner has read the pause, and saves

    assert lease_ledger.finish(lease, "paused", 1) == becomes
    job = index.get_job("default", job_id)
    assert (job.status, job.requested) == (becomes, still_requested)


def test_a_pause_requested_again_after_a_resume_is_a_pause(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    for verb in ("pause", "resume", "pause"):
        ledger.request_transition("default", job_id, verb)

    assert lease_ledger.finish(lease, "paused", 0) == "paused"


def test_a_resume_of_one_term_undoes_no_pause_of_the_next(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    ledger.request_transition("default", job_id, "pause")
    ledger.request_transition("default", job_id, "resume")
    expire_lease(store, lease)

    assert lease_ledger.finish(claim_job(lease_ledger).lease, "paused", 0) == "paused"


def test_an_owner_that_pauses_for_an_error_stays_paused_whatever_was_requested(
    ledger: JobLedger,
    lease_ledger: LeaseLedger,
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])
    ledger.request_transition("default", job_id, "stop")
    error = {"type": "checkpoint", "detail": "no room", "tick": 1}

    assert lease_ledger.finish(lease, "paused", 1, error=error) == "paused"


@pytest.mark.parametrize("off", [-3600, 3600])
def test_a_lease_is_measured_by_the_stores_clock_alone(
    ledger: JobLedger,
    lease_ledger: LeaseLedger,
    store: "redis.Redis",
    monkeypatch: pytest.MonkeyPatch,
    off: int,
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + off)
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease

    def ends_in() -> float:
        now: Any = store.time()
        score: Any = store.zscore(keys.leases("cpu"), keys.job_member(lease.tenant, lease.job_id))
        return float(score / 1000 - now[0] - now[1] / 1e6)

    assert 0 < ends_in() <= 30  # as the fixture's ledger has it
    lease_ledger.renew(lease)
    assert 0 < ends_in() <= 30


def test_the_audit_keeps_what_was_added_when_an_older_call_comes_again(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [3.0, 2.0])
    append_losses(lease_ledger, lease, 3, [1.0])
    append_losses(lease_ledger, lease, 1, [3.0, 2.0])

    audit: Any = store.lrange(keys.audit(lease.tenant, lease.job_id), 0, -1)
    assert [entry.decode() for entry in audit] == [f"1 {lease.nonce} 1 3"]


def test_a_caller_without_the_lease_moves_no_segment_of_a_running_job(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    job_id = submit_job(ledger)
    claim_job(lease_ledger)

    with pytest.raises(LeaseLost):
        ledger.move_segment("default", job_id, 0, {}, 0)
