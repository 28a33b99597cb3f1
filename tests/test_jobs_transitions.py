"""What a verb does to a job in each status: the contract's table, row by row."""

from typing import Any

import pytest

from jobs.errors import IllegalTransition
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from tests.ledger_helpers import append_losses, claim_job, submit_job

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
