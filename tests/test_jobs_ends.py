"""What a job's record says once it has ended."""

from typing import Any

import pytest
import redis

from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.store import keys
from tests.ledger_helpers import append_losses, claim_job, expire_lease, submit_job


@pytest.mark.parametrize("stopped_by", ["user", "patience", "target", "converged", "budget"])
def test_a_job_that_succeeded_is_at_its_end_whatever_ended_it(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries, stopped_by: str
) -> None:
    budget: Any = {"ticks": 4, "seconds": 60}
    job_id = submit_job(ledger, budget=budget)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])
    assert index.get_job("default", job_id).progress == 1 / 4

    lease_ledger.finish(lease, "succeeded", 1, stopped_by=stopped_by)
    assert index.get_job("default", job_id).progress == 1.0


def test_skipped_ticks_are_counted_once_whatever_is_sent_again(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries, store: "redis.Redis"
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    bad = float("nan")
    for _ in range(2):
        append_losses(lease_ledger, lease, 1, [1.0, bad], skipped="1")
        append_losses(lease_ledger, lease, 3, [1.0])
        append_losses(lease_ledger, lease, 4, [bad], skipped="1")
    expire_lease(store, lease)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 3, [1.0, bad], skipped="1")
    append_losses(lease_ledger, lease, 5, [bad], skipped="1")

    assert index.get_job("default", job_id).skipped == 3


def test_a_job_of_an_earlier_build_does_not_guess_what_it_did_not_count(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries, store: "redis.Redis"
) -> None:
    job_id = submit_job(ledger)
    store.hdel(keys.job("default", job_id), "skipped")
    append_losses(lease_ledger, claim_job(lease_ledger).lease, 1, [float("nan")], skipped="1")

    assert index.get_job("default", job_id).skipped is None
