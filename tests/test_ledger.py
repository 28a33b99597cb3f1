"""The protocol of jobs on a real store: who may write, what is refused, what sending twice does."""

import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from jobs import keys
from jobs.errors import (
    Diverged,
    Early,
    Fenced,
    Gap,
    Gone,
    IdempotencyMismatch,
    IllegalMove,
    NoSuchJob,
    NotEnded,
    Short,
    StoreFull,
    Unfit,
)
from jobs.index import Index
from jobs.job import Checkpoint, Lease
from jobs.ledger import MOST_DEATHS, Claim, Ledger
from jobs.spec.job_spec import JobSpec, read_spec
from tests.support import running_store, small_spec

FINGERPRINT = {"engine": "eager", "torch": "2", "canary": "c1", "device": "cpu", "threads": 1}


def spec(**changes: Any) -> JobSpec:
    return read_spec(small_spec(**changes), max_parameters=10**9)


@pytest.fixture(scope="module", params=["embedded", "redis-server"])
def store_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The protocol holds on the embedded server and on Debian's."""
    binary = None if request.param == "embedded" else shutil.which(request.param)
    if request.param != "embedded" and binary is None:
        pytest.skip("no redis-server on PATH")
    with running_store(None if binary is None else Path(binary)) as server:
        yield server.url


@pytest.fixture
def ledger(store: "redis.Redis") -> Ledger:
    return Ledger(store, lease_seconds=30)


@pytest.fixture
def index(store: "redis.Redis") -> Index:
    return Index(store)


def submitted(ledger: Ledger, tenant: str = "default", **changes: Any) -> str:
    return ledger.submit(tenant, spec(**changes)).job_id


def claimed(ledger: Ledger, canary: str = "c1", nonce: str | None = None) -> Claim:
    claim = ledger.claim("cpu", worker="w", device="cpu", canaries={"1": canary}, nonce=nonce)
    assert claim is not None
    return claim


def append(ledger: Ledger, lease: Lease, first: int, losses: list[float], **more: Any) -> Any:
    values = np.array(losses, "<f4").tobytes()
    return ledger.append(lease, first, len(losses), {"loss": values}, {}, 0, {}, **more)


def expire(store: "redis.Redis", lease: Lease) -> None:
    """Let the lease be over now, as if its time had passed."""
    name = keys.member(lease.tenant, lease.job_id)
    store.zadd(keys.leases("cpu"), {name: 1})


def checkpoint(tick: int, **changes: Any) -> Checkpoint:
    told = {
        "tick": tick, "created_at": "2026-01-01T00:00:00.000Z", "bytes": 10, "metrics": {},
        "sha256": "ab", "files": [], "is_best": False, "is_final": False,
        "folder": f"{tick}-t1", "state": "00", "term": 1,
    }  # fmt: skip
    return Checkpoint.model_validate({**told, **changes})


def test_a_submitted_job_is_queued_and_found_by_its_id(ledger: Ledger, index: Index) -> None:
    job = index.job("default", submitted(ledger, name="first", labels={"team": "a"}))

    assert (job.status, job.tick, job.name, job.labels) == ("queued", 0, "first", {"team": "a"})
    assert job.queue is not None and (job.queue.position, job.queue.reason) == (1, "no_worker")


def test_an_idempotency_key_gives_the_same_job_again(ledger: Ledger, index: Index) -> None:
    first = ledger.submit("default", spec(), idempotency_key="k", body_digest="d")
    again = ledger.submit("default", spec(), idempotency_key="k", body_digest="d")

    assert again == (type(first)(first.job_id, False))
    assert len(index.jobs("default").data) == 1


def test_an_idempotency_key_with_another_body_is_refused(ledger: Ledger) -> None:
    ledger.submit("default", spec(), idempotency_key="k", body_digest="d")

    with pytest.raises(IdempotencyMismatch):
        ledger.submit("default", spec(), idempotency_key="k", body_digest="e")


def test_two_tenants_may_use_the_same_idempotency_key(ledger: Ledger) -> None:
    ours = ledger.submit("default", spec(), idempotency_key="k", body_digest="d")
    theirs = ledger.submit("other", spec(), idempotency_key="k", body_digest="e")

    assert ours.job_id != theirs.job_id and theirs.new


def test_a_tenant_does_not_find_anothers_job(ledger: Ledger, index: Index) -> None:
    job_id = submitted(ledger)

    with pytest.raises(NoSuchJob):
        index.job("other", job_id)
    with pytest.raises(NoSuchJob):
        ledger.request("other", job_id, "cancel")


def test_higher_priority_is_claimed_first_then_first_come_first_served(ledger: Ledger) -> None:
    low, first, second = (submitted(ledger, priority=p) for p in (-1, 5, 5))

    assert [claimed(ledger).lease.job_id for _ in range(3)] == [first, second, low]


def test_a_claim_sent_twice_with_one_nonce_repeats_its_answer(ledger: Ledger) -> None:
    submitted(ledger), submitted(ledger)

    assert claimed(ledger, nonce="n") == claimed(ledger, nonce="n")


def test_accepted_ticks_are_the_jobs_tick_and_loss(ledger: Ledger, index: Index) -> None:
    job_id = submitted(ledger)
    claim = claimed(ledger)

    assert append(ledger, claim.lease, 1, [3.0, 2.0]).tick == 2
    job = index.job("default", job_id)
    assert (job.tick, job.loss, job.status) == (2, 2.0, "running")


def test_an_append_sent_twice_adds_nothing(ledger: Ledger, store: "redis.Redis") -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [3.0, 2.0])
    append(ledger, lease, 1, [3.0, 2.0])

    assert store.strlen(keys.column(lease.tenant, lease.job_id, "loss", 0)) == 8


def test_ticks_beyond_the_next_one_are_a_gap(ledger: Ledger) -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [3.0])

    with pytest.raises(Gap) as caught:
        append(ledger, lease, 3, [1.0])
    assert caught.value.tick == 1


def test_a_recorded_tick_offered_with_one_other_bit_diverges(ledger: Ledger, index: Index) -> None:
    job_id = submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [3.0, 2.0])
    off = struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", 2.0))[0] + 1))

    with pytest.raises(Diverged) as caught:
        append(ledger, lease, 1, [3.0, off[0], 1.0])
    assert (caught.value.tick, caught.value.column) == (2, "loss")
    assert index.job("default", job_id).tick == 2


def test_a_state_digest_that_differs_diverges(ledger: Ledger) -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [3.0])

    def note(bits: int) -> None:
        point = struct.pack("<QQ", 1, bits)
        ledger.append(lease, 2, 0, {}, {}, 0, {"state": point})

    note(7)
    note(7)
    with pytest.raises(Diverged) as caught:
        note(8)
    assert (caught.value.tick, caught.value.column) == (1, "state")


def test_who_lost_the_lease_is_fenced_everywhere(ledger: Ledger, store: "redis.Redis") -> None:
    submitted(ledger)
    old = claimed(ledger).lease
    append(ledger, old, 1, [3.0])
    expire(store, old)
    new = claimed(ledger)

    assert new.lease.term == old.term + 1 and new.tick == 1
    for write in (
        lambda: append(ledger, old, 2, [2.0]),
        lambda: ledger.renew(old),
        lambda: ledger.describe(old, "eager", "cpu", FINGERPRINT),
        lambda: ledger.commit_checkpoint(old, checkpoint(1)),
        lambda: ledger.finish(old, "succeeded", 1, stopped_by="user"),
    ):
        with pytest.raises(Fenced):
            write()
    assert append(ledger, new.lease, 2, [2.0]).tick == 2


def test_the_same_term_with_another_nonce_is_fenced(ledger: Ledger) -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    stranger = Lease(lease.tenant, lease.job_id, lease.term, "another")

    with pytest.raises(Fenced):
        append(ledger, stranger, 1, [1.0])


def test_a_lease_that_holds_is_not_taken(ledger: Ledger) -> None:
    submitted(ledger)
    claimed(ledger)

    assert ledger.claim("cpu", worker="v", device="cpu", canaries={}) is None


def test_a_lease_past_its_end_renews_while_nobody_claimed(store: "redis.Redis") -> None:
    ledger = Ledger(store, lease_seconds=0.01)
    submitted(ledger)
    lease = claimed(ledger).lease
    time.sleep(0.03)

    assert ledger.renew(lease) is None
    assert append(ledger, lease, 1, [1.0]).tick == 1


def test_the_audit_names_each_owner_and_what_it_added(ledger: Ledger, store: "redis.Redis") -> None:
    submitted(ledger)
    old = claimed(ledger).lease
    append(ledger, old, 1, [3.0])
    append(ledger, old, 2, [2.0])
    expire(store, old)
    new = claimed(ledger).lease
    append(ledger, new, 1, [3.0, 2.0, 1.0])

    entries = store.lrange(keys.audit(old.tenant, old.job_id), 0, -1)
    assert [entry.decode().split() for entry in entries] == [
        ["1", old.nonce, "1", "2"],
        ["2", new.nonce, "1", "3"],
    ]


def test_deaths_without_a_new_tick_end_a_job(
    ledger: Ledger, store: "redis.Redis", index: Index
) -> None:
    job_id = submitted(ledger)
    for _ in range(MOST_DEATHS):
        expire(store, claimed(ledger).lease)

    assert ledger.claim("cpu", worker="w", device="cpu", canaries={}) is None
    job = index.job("default", job_id)
    assert job.status == "failed" and job.error is not None and job.error.type == "poison"


def test_each_new_tick_takes_back_the_deaths(ledger: Ledger, store: "redis.Redis") -> None:
    submitted(ledger)
    for tick in range(1, 2 * MOST_DEATHS):
        lease = claimed(ledger).lease
        append(ledger, lease, tick, [1.0])
        expire(store, lease)


def test_a_checkpoint_of_a_tick_not_accepted_is_early(ledger: Ledger) -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [1.0])

    with pytest.raises(Early):
        ledger.commit_checkpoint(lease, checkpoint(2))


def test_committed_checkpoints_are_listed_and_dropped(ledger: Ledger, index: Index) -> None:
    job_id = submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [1.0, 1.0, 1.0])
    for tick in (1, 2, 3):
        ledger.commit_checkpoint(lease, checkpoint(tick), [1] if tick == 3 else [])

    assert [each.tick for each in index.checkpoints("default", job_id)] == [2, 3]
    job = index.job("default", job_id)
    assert (job.latest_checkpoint, job.bytes) == (3, 20)


def test_success_needs_the_accepted_tick_and_the_budgets_total(ledger: Ledger) -> None:
    submitted(ledger, budget={"ticks": 3})
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [1.0, 1.0])

    for tick, stopped_by in ((1, "user"), (3, "budget"), (2, "budget")):
        with pytest.raises(Short):
            ledger.finish(lease, "succeeded", tick, stopped_by=stopped_by)
    append(ledger, lease, 3, [1.0])
    assert ledger.finish(lease, "succeeded", 3, stopped_by="budget") == "succeeded"
    assert ledger.finish(lease, "succeeded", 3, stopped_by="budget") == "succeeded"


def test_a_job_given_back_is_what_was_asked_of_it(ledger: Ledger, index: Index) -> None:
    for asked, becomes in (("pause", "paused"), ("cancel", "cancelled")):
        job_id = submitted(ledger)
        lease = claimed(ledger).lease
        ledger.request("default", job_id, asked)  # type: ignore[arg-type]

        assert ledger.finish(lease, "queued", 0, reason="drain") == becomes
        assert index.job("default", job_id).requested is None


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


def brought_to(ledger: Ledger, status: str) -> str:
    job_id = submitted(ledger, budget={"ticks": 2})
    if status == "queued":
        return job_id
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [1.0])
    if status in ("again", "paused", "cancelled"):
        ledger.finish(lease, {"again": "queued"}.get(status, status), 1, reason="drain")
    elif status in ("succeeded", "failed", "stopped"):
        append(ledger, lease, 2, [1.0])
        became = "failed" if status == "failed" else "succeeded"
        ledger.finish(lease, became, 2, stopped_by="user" if status == "stopped" else "budget")
    return job_id


@pytest.mark.parametrize(("status", "verb"), list(MOVES))
def test_a_verb_does_what_the_contracts_table_says(
    status: str, verb: Any, ledger: Ledger, index: Index
) -> None:
    job_id = brought_to(ledger, status)
    if (after := MOVES[status, verb]) is None:
        with pytest.raises(IllegalMove) as caught:
            ledger.request("default", job_id, verb)
        assert verb not in caught.value.allowed
        return

    answer = ledger.request("default", job_id, verb)

    assert answer == ("under_way" if (status, verb) in UNDER_WAY else "done")
    assert index.job("default", job_id).status == after


def test_a_requested_cancel_is_never_displaced(ledger: Ledger) -> None:
    job_id = submitted(ledger)
    lease = claimed(ledger).lease
    for verb in ("pause", "cancel", "pause", "stop", "resume"):
        ledger.request("default", job_id, verb)  # type: ignore[arg-type]

    assert ledger.renew(lease) == "cancel"


def test_resume_withdraws_a_requested_pause(ledger: Ledger) -> None:
    job_id = submitted(ledger)
    lease = claimed(ledger).lease
    ledger.request("default", job_id, "pause")
    ledger.request("default", job_id, "resume")

    assert ledger.renew(lease) is None


def test_only_an_ended_job_is_deleted_and_its_key_then_is_gone(
    ledger: Ledger, index: Index, store: "redis.Redis"
) -> None:
    job_id = ledger.submit("default", spec(), idempotency_key="k", body_digest="d").job_id
    with pytest.raises(NotEnded):
        ledger.delete("default", job_id)
    ledger.request("default", job_id, "cancel")
    ledger.delete("default", job_id)

    assert index.jobs("default").data == []
    assert store.keys(keys.job("default", job_id) + "*") == []
    assert store.zscore(keys.tombstones("default"), job_id) is not None
    with pytest.raises(Gone):
        ledger.submit("default", spec(), idempotency_key="k", body_digest="d")


def test_a_job_of_another_fingerprint_waits_for_an_equal_worker(
    ledger: Ledger, store: "redis.Redis", index: Index
) -> None:
    job_id = submitted(ledger)
    lease = claimed(ledger).lease
    ledger.describe(lease, "eager", "cpu", FINGERPRINT)
    append(ledger, lease, 1, [1.0])
    expire(store, lease)

    assert ledger.claim("cpu", worker="v", device="cpu", canaries={"1": "c2"}) is None
    assert index.job("default", job_id).status == "queued"
    assert claimed(ledger, canary="c1").tick == 1


def test_best_effort_goes_on_elsewhere_and_says_from_which_tick(
    ledger: Ledger, store: "redis.Redis", index: Index
) -> None:
    job_id = submitted(ledger, compute={"exact": "best_effort"})
    lease = claimed(ledger).lease
    ledger.describe(lease, "eager", "cpu", FINGERPRINT)
    append(ledger, lease, 1, [1.0])
    expire(store, lease)
    other = claimed(ledger, canary="c2").lease
    append(ledger, other, 1, [1.5, 0.5])

    job = index.job("default", job_id)
    assert (job.exact, job.inexact_from, job.tick) == (False, 2, 2)


def test_a_required_job_is_not_described_as_something_else(
    ledger: Ledger, store: "redis.Redis"
) -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    ledger.describe(lease, "eager", "cpu", FINGERPRINT)
    append(ledger, lease, 1, [1.0])

    with pytest.raises(Unfit):
        ledger.describe(lease, "eager", "cpu", {**FINGERPRINT, "torch": "3"})


def test_bells_are_due_once_a_grace_and_no_more_than_jobs_wait(
    ledger: Ledger, store: "redis.Redis"
) -> None:
    assert ledger.due(10) == {}
    submitted(ledger), submitted(ledger)

    assert ledger.due(10) == {"cpu": 2}
    assert ledger.due(10) == {}
    store.delete(keys.rung("cpu"))
    store.rpush(keys.bells("cpu"), "a bell not yet heard")
    assert ledger.due(10) == {"cpu": 1}


def test_a_full_store_refuses_a_job_and_lets_running_ones_go_on(
    ledger: Ledger, store: "redis.Redis", index: Index
) -> None:
    submitted(ledger)
    lease = claimed(ledger).lease
    store.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            submitted(ledger)
        append(ledger, lease, 1, [1.0])
        ledger.renew(lease)
        assert ledger.finish(lease, "cancelled", 1) == "cancelled"
    finally:
        store.config_set("maxmemory", 0)
    assert len(index.jobs("default").data) == 1


def test_a_patch_changes_what_lists_find(ledger: Ledger, index: Index) -> None:
    job_id = submitted(ledger, name="old", labels={"a": "1"})
    ledger.patch("default", job_id, name="new", labels={"b": "2:3"}, priority=7)

    def found(*filters: tuple[str, str]) -> list[str]:
        return [job.id for job in index.jobs("default", filters=filters).data]

    assert found(("name", "new")) == found(("label", "b:2:3")) == [job_id]
    assert found(("name", "old")) == found(("label", "a:1")) == []
    assert index.job("default", job_id).priority == 7


def test_a_list_goes_on_where_it_ended_while_jobs_are_added(ledger: Ledger, index: Index) -> None:
    ids = [submitted(ledger) for _ in range(5)]
    first = index.jobs("default", limit=2)
    submitted(ledger)
    second = index.jobs("default", limit=2, after=first.next_after)
    third = index.jobs("default", limit=2, after=second.next_after)

    seen = [job.id for page in (first, second, third) for job in page.data]
    assert seen == ids[::-1]
    assert (first.has_more, third.has_more) == (True, False)


def test_a_list_of_several_statuses_has_the_jobs_of_any(ledger: Ledger, index: Index) -> None:
    cancelled, queued = submitted(ledger, labels={"k": "v"}), submitted(ledger, labels={"k": "v"})
    ledger.request("default", cancelled, "cancel")
    claimed(ledger)
    paused = submitted(ledger)
    ledger.request("default", paused, "pause")

    def found(*filters: tuple[str, str]) -> set[str]:
        return {job.id for job in index.jobs("default", filters=filters).data}

    assert found(("status", "cancelled"), ("status", "paused")) == {cancelled, paused}
    assert found(("status", "running"), ("label", "k:v")) == {queued}


def test_an_attempt_says_what_was_replayed_and_how_it_ended(
    ledger: Ledger, store: "redis.Redis", index: Index
) -> None:
    job_id = submitted(ledger)
    lease = claimed(ledger).lease
    append(ledger, lease, 1, [3.0, 2.0])
    expire(store, lease)
    again = claimed(ledger).lease
    append(ledger, again, 1, [3.0, 2.0, 1.0])
    ledger.finish(again, "paused", 3)

    first, second = index.attempts("default", job_id)
    assert (first.first_tick, first.last_tick, first.outcome, first.equal) == (1, 2, "lost", None)
    assert (second.first_tick, second.last_tick, second.replayed) == (3, 3, 2)
    assert (second.outcome, second.equal) == ("paused", True)
