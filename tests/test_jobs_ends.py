"""What a job's record says once it has ended."""

from typing import Any

import pytest

from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from tests.ledger_helpers import append_losses, claim_job, submit_job


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
