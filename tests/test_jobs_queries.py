"""Lists of jobs: filters, pages that stay true, what a patch changes."""

from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from tests.ledger_helpers import claim_job, submit_job


def test_a_patch_changes_what_lists_find(ledger: JobLedger, index: JobQueries) -> None:
    job_id = submit_job(ledger, name="old", labels={"a": "1"})
    ledger.patch("default", job_id, name="new", labels={"b": "2:3"}, priority=7)

    def list_ids(*filters: tuple[str, str]) -> list[str]:
        return [job.id for job in index.list_jobs("default", filters=filters).data]

    assert list_ids(("name", "new")) == list_ids(("label", "b:2:3")) == [job_id]
    assert list_ids(("name", "old")) == list_ids(("label", "a:1")) == []
    assert index.get_job("default", job_id).priority == 7


def test_a_list_goes_on_where_it_ended_while_jobs_are_added(
    ledger: JobLedger, index: JobQueries
) -> None:
    ids = [submit_job(ledger) for _ in range(5)]
    first = index.list_jobs("default", limit=2)
    submit_job(ledger)
    second = index.list_jobs("default", limit=2, after=first.next_after)
    third = index.list_jobs("default", limit=2, after=second.next_after)

    seen = [job.id for page in (first, second, third) for job in page.data]
    assert seen == ids[::-1]
    assert first.next_after is not None and third.next_after is None


def test_a_list_of_several_statuses_has_the_jobs_of_any(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries
) -> None:
    cancelled, queued = submit_job(ledger, labels={"k": "v"}), submit_job(ledger, labels={"k": "v"})
    ledger.request_transition("default", cancelled, "cancel")
    claim_job(lease_ledger)
    paused = submit_job(ledger)
    ledger.request_transition("default", paused, "pause")

    def list_ids(*filters: tuple[str, str]) -> set[str]:
        return {job.id for job in index.list_jobs("default", filters=filters).data}

    assert list_ids(("status", "cancelled"), ("status", "paused")) == {cancelled, paused}
    assert list_ids(("status", "running"), ("label", "k:v")) == {queued}
