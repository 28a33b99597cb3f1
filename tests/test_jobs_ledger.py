"""The protocol of jobs on a real store: the fence, refusals, and calls that are sent twice."""

import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobs.errors import (
    FingerprintMismatch,
    IdempotencyMismatch,
    IdempotentResultDeleted,
    LeaseLost,
    NoSuchJob,
    NotAccepted,
    NotTerminal,
    StoreFull,
    TickGap,
    TickMismatch,
    WrongFinalTick,
)
from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import MAX_ATTEMPTS_WITHOUT_PROGRESS, LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.store import keys
from tests.ledger_helpers import (
    append_losses,
    claim_job,
    expire_lease,
    make_checkpoint,
    make_job_spec,
    submit_job,
)
from tests.needs import require_program
from tests.support import running_store

FINGERPRINT = {"engine": "eager", "torch": "2", "canary": "c1", "device": "cpu", "threads": 1}


@pytest.fixture(scope="module", params=["embedded", "redis-server"])
def store_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The protocol holds on the embedded server and on Debian's."""
    if request.param == "redis-server":
        require_program(request.param)
    binary = shutil.which(request.param)
    with running_store(None if binary is None else Path(binary)) as server:
        yield server.url


def test_a_submitted_job_is_queued_and_found_by_its_id(
    ledger: JobLedger, index: JobQueries
) -> None:
    job = index.get_job("default", submit_job(ledger, name="first", labels={"team": "a"}))

    assert (job.status, job.tick, job.name, job.labels) == ("queued", 0, "first", {"team": "a"})
    assert job.queue is not None and (job.queue.position, job.queue.reason) == (1, "no_worker")


def test_an_idempotency_key_gives_the_same_job_again(ledger: JobLedger, index: JobQueries) -> None:
    first = ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="d")
    again = ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="d")

    assert again == (type(first)(first.job_id, False))
    assert len(index.list_jobs("default").data) == 1


def test_an_idempotency_key_with_another_body_is_refused(ledger: JobLedger) -> None:
    ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="d")

    with pytest.raises(IdempotencyMismatch):
        ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="e")


def test_two_tenants_may_use_the_same_idempotency_key(ledger: JobLedger) -> None:
    ours = ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="d")
    theirs = ledger.submit("other", make_job_spec(), idempotency_key="k", body_digest="e")

    assert ours.job_id != theirs.job_id and theirs.is_new


def test_a_tenant_does_not_find_anothers_job(ledger: JobLedger, index: JobQueries) -> None:
    job_id = submit_job(ledger)

    with pytest.raises(NoSuchJob):
        index.get_job("other", job_id)
    with pytest.raises(NoSuchJob):
        ledger.request_transition("other", job_id, "cancel")


def test_higher_priority_is_claimed_first_then_first_come_first_served(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    low, first, second = (submit_job(ledger, priority=p) for p in (-1, 5, 5))

    assert [claim_job(lease_ledger).lease.job_id for _ in range(3)] == [first, second, low]


def test_a_claim_sent_twice_with_one_nonce_repeats_its_answer(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    submit_job(ledger), submit_job(ledger)

    assert claim_job(lease_ledger, nonce="n") == claim_job(lease_ledger, nonce="n")


def test_accepted_ticks_are_the_jobs_tick_and_loss(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    claim = claim_job(lease_ledger)

    assert append_losses(lease_ledger, claim.lease, 1, [3.0, 2.0]).tick == 2
    job = index.get_job("default", job_id)
    assert (job.tick, job.loss, job.status) == (2, 2.0, "running")


def test_an_append_sent_twice_adds_nothing(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [3.0, 2.0])
    append_losses(lease_ledger, lease, 1, [3.0, 2.0])

    assert store.strlen(keys.column(lease.tenant, lease.job_id, "loss", 0)) == 8


def test_ticks_beyond_the_next_one_are_a_gap(ledger: JobLedger, lease_ledger: LeaseLedger) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [3.0])

    with pytest.raises(TickGap) as caught:
        append_losses(lease_ledger, lease, 3, [1.0])
    assert caught.value.tick == 1


def test_a_recorded_tick_offered_with_one_other_bit_diverges(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [3.0, 2.0])
    off = struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", 2.0))[0] + 1))

    with pytest.raises(TickMismatch) as caught:
        append_losses(lease_ledger, lease, 1, [3.0, off[0], 1.0])
    assert (caught.value.tick, caught.value.column) == (2, "loss")
    assert index.get_job("default", job_id).tick == 2


def test_a_state_digest_that_differs_diverges(ledger: JobLedger, lease_ledger: LeaseLedger) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [3.0])

    def note(bits: int) -> None:
        point = struct.pack("<QQ", 1, bits)
        lease_ledger.append_ticks(lease, 2, 0, {}, {}, 0, {"state": point})

    note(7)
    note(7)
    with pytest.raises(TickMismatch) as caught:
        note(8)
    assert (caught.value.tick, caught.value.column) == (1, "state")


def test_an_owner_that_lost_the_lease_is_fenced_everywhere(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    submit_job(ledger)
    old = claim_job(lease_ledger).lease
    append_losses(lease_ledger, old, 1, [3.0])
    expire_lease(store, old)
    new = claim_job(lease_ledger)

    assert new.lease.term == old.term + 1 and new.tick == 1
    for write in (
        lambda: append_losses(lease_ledger, old, 2, [2.0]),
        lambda: lease_ledger.renew(old),
        lambda: lease_ledger.record_engine(old, "eager", "cpu", FINGERPRINT),
        lambda: lease_ledger.commit_checkpoint(old, make_checkpoint(1)),
        lambda: lease_ledger.finish(old, "succeeded", 1, stopped_by="user"),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert append_losses(lease_ledger, new.lease, 2, [2.0]).tick == 2


def test_the_same_term_with_another_nonce_is_fenced(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    stranger = Lease(lease.tenant, lease.job_id, lease.term, "another")

    with pytest.raises(LeaseLost):
        append_losses(lease_ledger, stranger, 1, [1.0])


def test_a_lease_that_holds_is_not_taken(ledger: JobLedger, lease_ledger: LeaseLedger) -> None:
    submit_job(ledger)
    claim_job(lease_ledger)

    assert lease_ledger.claim("cpu", worker="v", device="cpu", canaries={}) is None


def test_a_lease_past_its_end_renews_while_nobody_claimed(store: "redis.Redis") -> None:
    ledger = LeaseLedger(store, lease_seconds=0.01)
    submit_job(JobLedger(store))
    lease = claim_job(ledger).lease
    time.sleep(0.03)

    assert ledger.renew(lease) is None
    assert append_losses(ledger, lease, 1, [1.0]).tick == 1


def test_the_audit_names_each_owner_and_what_it_added(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    submit_job(ledger)
    old = claim_job(lease_ledger).lease
    append_losses(lease_ledger, old, 1, [3.0])
    append_losses(lease_ledger, old, 2, [2.0])
    expire_lease(store, old)
    new = claim_job(lease_ledger).lease
    append_losses(lease_ledger, new, 1, [3.0, 2.0, 1.0])

    entries = store.lrange(keys.audit(old.tenant, old.job_id), 0, -1)
    assert [entry.decode().split() for entry in entries] == [
        ["1", old.nonce, "1", "2"],
        ["2", new.nonce, "1", "3"],
    ]


def test_deaths_without_a_new_tick_end_a_job(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    for _ in range(MAX_ATTEMPTS_WITHOUT_PROGRESS):
        expire_lease(store, claim_job(lease_ledger).lease)

    assert lease_ledger.claim("cpu", worker="w", device="cpu", canaries={}) is None
    job = index.get_job("default", job_id)
    assert job.status == "failed" and job.error is not None and job.error.type == "poison"


def test_a_new_tick_resets_the_count_of_deaths(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    attempts = 2 * MAX_ATTEMPTS_WITHOUT_PROGRESS
    for tick in range(1, attempts + 1):
        lease = claim_job(lease_ledger).lease
        append_losses(lease_ledger, lease, tick, [1.0])
        expire_lease(store, lease)
    assert lease_ledger.claim("cpu", worker="w", device="cpu", canaries={}) is not None

    job = index.get_job("default", job_id)
    assert (job.status, job.attempt, job.tick) == ("running", attempts + 1, attempts)
    assert job.error is None and job.finished_at is None


def test_a_checkpoint_of_a_tick_not_accepted_is_early(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])

    with pytest.raises(NotAccepted):
        lease_ledger.commit_checkpoint(lease, make_checkpoint(2))


def test_committed_checkpoints_are_listed_and_dropped(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0, 1.0, 1.0])
    for tick in (1, 2, 3):
        lease_ledger.commit_checkpoint(lease, make_checkpoint(tick), [1] if tick == 3 else [])

    assert [listed.tick for listed in index.list_checkpoints("default", job_id)] == [2, 3]
    job = index.get_job("default", job_id)
    assert (job.latest_checkpoint, job.bytes) == (3, 20)


def test_success_needs_the_accepted_tick_and_the_budgets_total(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    submit_job(ledger, budget={"ticks": 3})
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0, 1.0])

    for tick, stopped_by in ((1, "user"), (3, "budget"), (2, "budget")):
        with pytest.raises(WrongFinalTick):
            lease_ledger.finish(lease, "succeeded", tick, stopped_by=stopped_by)
    append_losses(lease_ledger, lease, 3, [1.0])
    assert lease_ledger.finish(lease, "succeeded", 3, stopped_by="budget") == "succeeded"
    assert lease_ledger.finish(lease, "succeeded", 3, stopped_by="budget") == "succeeded"


def test_a_released_job_has_the_status_that_was_requested(
    ledger: JobLedger, lease_ledger: LeaseLedger, index: JobQueries
) -> None:
    for verb, becomes in (("pause", "paused"), ("cancel", "cancelled")):
        job_id = submit_job(ledger)
        lease = claim_job(lease_ledger).lease
        ledger.request_transition("default", job_id, verb)  # type: ignore[arg-type]

        assert lease_ledger.finish(lease, "queued", 0, reason="drain") == becomes
        assert index.get_job("default", job_id).requested is None


def test_only_an_ended_job_is_deleted_and_its_key_then_is_gone(
    ledger: JobLedger, index: JobQueries, store: "redis.Redis"
) -> None:
    job_id = ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="d").job_id
    with pytest.raises(NotTerminal):
        ledger.delete("default", job_id)
    ledger.request_transition("default", job_id, "cancel")
    ledger.delete("default", job_id)

    assert index.list_jobs("default").data == []
    assert store.keys(keys.job("default", job_id) + "*") == []
    assert store.zscore(keys.tombstones("default"), job_id) is not None
    with pytest.raises(IdempotentResultDeleted):
        ledger.submit("default", make_job_spec(), idempotency_key="k", body_digest="d")


def test_a_job_of_another_fingerprint_waits_for_an_equal_worker(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    lease_ledger.record_engine(lease, "eager", "cpu", FINGERPRINT)
    append_losses(lease_ledger, lease, 1, [1.0])
    expire_lease(store, lease)

    assert lease_ledger.claim("cpu", worker="v", device="cpu", canaries={"1": "c2"}) is None
    assert index.get_job("default", job_id).status == "queued"
    assert claim_job(lease_ledger, canary="c1").tick == 1


def test_a_best_effort_job_goes_on_elsewhere_and_records_from_which_tick(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    job_id = submit_job(ledger, compute={"exact": "best_effort"})
    lease = claim_job(lease_ledger).lease
    lease_ledger.record_engine(lease, "eager", "cpu", FINGERPRINT)
    append_losses(lease_ledger, lease, 1, [1.0])
    expire_lease(store, lease)
    other = claim_job(lease_ledger, canary="c2").lease
    append_losses(lease_ledger, other, 1, [1.5, 0.5])

    job = index.get_job("default", job_id)
    assert (job.exact, job.inexact_from, job.tick) == (False, 2, 2)


def test_a_job_that_must_be_exact_is_not_recorded_with_another_fingerprint(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    lease_ledger.record_engine(lease, "eager", "cpu", FINGERPRINT)
    append_losses(lease_ledger, lease, 1, [1.0])

    with pytest.raises(FingerprintMismatch):
        lease_ledger.record_engine(lease, "eager", "cpu", {**FINGERPRINT, "torch": "3"})


def test_wakeups_are_due_once_a_grace_and_no_more_than_jobs_wait(
    ledger: JobLedger, store: "redis.Redis"
) -> None:
    assert ledger.take_due_wakeups(10) == {}
    submit_job(ledger), submit_job(ledger)

    assert ledger.take_due_wakeups(10) == {"cpu": 2}
    assert ledger.take_due_wakeups(10) == {}
    store.delete(keys.wake_cooldown("cpu"))
    store.rpush(keys.celery_queue("cpu"), "a wake-up not yet consumed")
    assert ledger.take_due_wakeups(10) == {"cpu": 1}


def test_a_full_store_refuses_a_job_and_lets_running_ones_go_on(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    store.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            submit_job(ledger)
        append_losses(lease_ledger, lease, 1, [1.0])
        lease_ledger.renew(lease)
        assert lease_ledger.finish(lease, "cancelled", 1) == "cancelled"
    finally:
        store.config_set("maxmemory", 0)
    assert len(index.list_jobs("default").data) == 1


def test_an_attempt_says_what_was_replayed_and_how_it_ended(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    job_id = submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [3.0, 2.0])
    expire_lease(store, lease)
    again = claim_job(lease_ledger).lease
    append_losses(lease_ledger, again, 1, [3.0, 2.0, 1.0])
    lease_ledger.finish(again, "paused", 3)

    first, second = index.list_attempts("default", job_id)
    assert (first.first_tick, first.last_tick, first.outcome, first.equal) == (1, 2, "lost", None)
    assert (second.first_tick, second.last_tick, second.replayed) == (3, 3, 2)
    assert (second.outcome, second.equal) == ("paused", True)
