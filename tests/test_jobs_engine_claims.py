"""Which worker may train a job, by the engines it has: never one whose engine is another.

The bits of native need no equal canary from a checkpoint on; those of every other engine do.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import redis

from jobs.errors import FingerprintMismatch
from jobs.ledger.claims import Claim, VerifyRange
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.plan import plan
from jobs.queries import worker_registry
from jobs.queries.jobs import JobQueries
from tests.ledger_helpers import (
    append_losses,
    expire_lease,
    make_checkpoint,
    make_job_spec,
    submit_job,
)
from workers.outcomes import outcome_of_error
from workers.trainer_client import TrainerError

EAGER = {"eager": "eager 2"}
ALL = {**EAGER, "graph": "graph-1 2", "native": "native-1 2"}
LATER = {**ALL, "graph": "graph-2 2", "native": "native-2 2"}
NAMED = {"compute": {"engine": "native"}}
#: rows that do not come from torch's random numbers
INLINE = {"data": {"source": "inline", "inputs": [[0.0], [1.0]] * 4, "targets": [0.0, 1.0] * 4}}
BEST_EFFORT = {"compute": {"exact": "best_effort"}}


def claim(
    lease_ledger: LeaseLedger, engines: Mapping[str, str] | None = None, canary: str = "c1"
) -> Claim | None:
    offered = ALL if engines is None else engines
    return lease_ledger.claim(
        "cpu", worker="w", device="cpu", canaries={"1": canary}, engines=offered
    )


def fingerprint(engine: str, canary: str = "c1") -> dict[str, Any]:
    return {"engine": engine, "torch": "2", "canary": canary, "device": "cpu", "threads": 1}


def begun(
    ledger: JobLedger,
    lease_ledger: LeaseLedger,
    store: "redis.Redis",
    engine: str,
    *,
    portable: bool = False,
    **changes: Any,
) -> str:
    """A job with two ticks of an engine, and its first owner gone."""
    job_id = submit_job(ledger, **changes)
    first = claim(lease_ledger)
    assert first is not None and first.engine is None
    name = engine.split("-")[0]
    lease_ledger.record_engine(first.lease, name, "cpu", fingerprint(engine), is_portable=portable)
    append_losses(lease_ledger, first.lease, 1, [1.0, 0.5])
    if portable:
        lease_ledger.commit_checkpoint(first.lease, make_checkpoint(1))
    expire_lease(store, first.lease)
    return job_id


def test_a_job_goes_on_with_the_engine_its_ticks_are_of(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    begun(ledger, lease_ledger, store, "graph-1")

    assert claim(lease_ledger, EAGER) is None
    again = claim(lease_ledger, ALL)
    assert again is not None and (again.engine, again.tick) == ("graph", 2)


def test_a_job_of_eager_stays_eager_whatever_there_is(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    begun(ledger, lease_ledger, store, "eager")

    again = claim(lease_ledger, ALL)
    assert again is not None and again.engine == "eager"


def test_a_job_that_names_an_engine_waits_for_a_worker_that_has_it(
    ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    submit_job(ledger, **NAMED)

    assert claim(lease_ledger, EAGER) is None
    claimed = claim(lease_ledger, ALL)
    assert claimed is not None and claimed.engine is None  # it has no tick yet


def test_a_named_engine_that_failed_its_trial_is_not_tried_again(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    begun(ledger, lease_ledger, store, "eager", **NAMED)

    again = claim(lease_ledger, EAGER)
    assert again is not None and again.engine == "eager"


@pytest.mark.parametrize("engine", ["graph-1", "native-1"])
def test_another_version_of_an_engine_is_unfit(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", engine: str
) -> None:
    begun(ledger, lease_ledger, store, engine, portable=engine == "native-1")

    assert claim(lease_ledger, LATER) is None
    assert claim(lease_ledger, ALL) is not None


def test_best_effort_goes_on_with_another_version_but_never_with_another_engine(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    begun(ledger, lease_ledger, store, "graph-1", **BEST_EFFORT)

    assert claim(lease_ledger, EAGER) is None
    again = claim(lease_ledger, LATER)
    assert again is not None and (again.engine, again.exact) == ("graph", False)


def test_native_goes_on_from_a_checkpoint_on_any_processor(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries
) -> None:
    job_id = begun(ledger, lease_ledger, store, "native-1", portable=True, **INLINE)

    again = claim(lease_ledger, canary="c2")
    assert again is not None and again.exact
    lease_ledger.record_engine(
        again.lease, "native", "cpu", fingerprint("native-1", "c2"), is_portable=True
    )
    append_losses(lease_ledger, again.lease, 2, [0.5, 0.25])
    job = index.get_job("default", job_id)
    assert (job.tick, job.exact, job.inexact_from) == (3, True, None)


def test_native_without_a_checkpoint_needs_the_canary_of_its_first_weights(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    job_id = begun(ledger, lease_ledger, store, "native-1", portable=True, **INLINE)
    elsewhere = claim(lease_ledger, canary="c2")
    assert elsewhere is not None and elsewhere.canary == "c1"
    reported = fingerprint("native-1", "c2")
    lease_ledger.record_engine(elsewhere.lease, "native", "cpu", reported, is_portable=True)
    lease_ledger.commit_checkpoint(elsewhere.lease, make_checkpoint(2), drop=[1])
    store.delete(f"job:{{default/{job_id}}}:checkpoints")
    expire_lease(store, elsewhere.lease)

    assert claim(lease_ledger, canary="c2") is None
    assert claim(lease_ledger, canary="c1") is not None


def test_every_other_engine_needs_an_equal_canary(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    for engine in ("eager", "graph-1", "native-1"):
        begun(ledger, lease_ledger, store, engine)  # native here has rows from a seed
        assert claim(lease_ledger, canary="c2") is None
        assert claim(lease_ledger, canary="c1") is not None


def test_an_engine_that_is_not_portable_is_not_recorded_with_another_canary(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis"
) -> None:
    begun(ledger, lease_ledger, store, "native-1")
    again = claim(lease_ledger)
    assert again is not None

    with pytest.raises(FingerprintMismatch):
        lease_ledger.record_engine(again.lease, "native", "cpu", fingerprint("native-1", "c2"))


@pytest.mark.parametrize("start", [0, 1])
def test_a_verify_has_its_parents_engine_and_from_its_start_on_its_parents_weights(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", start: int
) -> None:
    parent = begun(ledger, lease_ledger, store, "native-1", portable=True, **INLINE)
    owned = claim(lease_ledger)
    assert owned is not None
    ledger.submit("default", make_job_spec(**INLINE), verify_range=VerifyRange(parent, start, 2))

    assert claim(lease_ledger, EAGER) is None
    elsewhere = claim(lease_ledger, canary="c2")
    assert (elsewhere is None) == (start == 0)
    verify = elsewhere or claim(lease_ledger, canary="c1")
    assert verify is not None and (verify.engine, verify.tick) == ("native", start)


def test_a_job_whose_engine_no_worker_has_says_that_it_waits_for_a_fingerprint(
    ledger: JobLedger, store: "redis.Redis", index: JobQueries
) -> None:
    def reason() -> str | None:
        place = index.get_job("default", job_id).queue
        return place.reason if place else None

    job_id = submit_job(ledger, **NAMED)
    about = {"queue": "cpu", "engines": ["eager"]}
    worker_registry.register(store, "w1", about, 60)
    assert reason() == "fingerprint"
    (warning,) = [
        plan_warning
        for plan_warning in plan(make_job_spec(**NAMED), [about]).warnings
        if "engine" in plan_warning
    ]
    assert "no live worker has the engine native" in warning
    worker_registry.register(store, "w2", {**about, "engines": ["eager", "native"]}, 60)
    assert reason() is None


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ({"canaries": {"1": "c1"}}, "busy"),
        ({"canaries": {"1": "c2"}}, "fingerprint"),
        ({"canaries": {"2": "c2"}}, "busy"),  # it has not measured its canary for one thread
        ({"engines": ["graph", "native"]}, "fingerprint"),
        ({"engines": ["eager"], "memory_bytes": None}, "busy"),
        ({"memory_bytes": 1 << 20}, "no_worker"),
        ({"queue": "cuda"}, "no_worker"),
    ],
)
def test_a_queued_job_with_ticks_says_what_it_waits_for(
    ledger: JobLedger, lease_ledger: LeaseLedger, store: "redis.Redis", index: JobQueries,
    worker: dict[str, Any], reason: str,
) -> None:  # fmt: skip
    job_id = begun(ledger, lease_ledger, store, "eager")
    assert claim(lease_ledger, canary="c2") is None  # back in its queue
    worker_registry.register(store, "small", {"queue": "cpu", "memory_bytes": 1}, 60)
    worker_registry.register(store, "gone", {"queue": "cpu"}, -1)
    worker_registry.register(store, "w", {"queue": "cpu", "job": "job_x", **worker}, 60)

    place = index.get_job("default", job_id).queue
    assert place is not None and (place.position, place.reason) == (1, reason)


def test_an_engine_that_turns_out_unavailable_gives_the_job_back() -> None:
    fault = TrainerError("MissingEngine", "the engine native is not to be had here", "")

    outcome = outcome_of_error(fault, None, 3)

    assert outcome is not None and (outcome.status, outcome.error) == ("queued", None)
    assert outcome.reason == "the engine native is not to be had here"
