"""The scripts of answers on a real store: claims, leases, attempts, turns, and that all expires."""

import time
from typing import Any

import pytest

from jobs.answers.ledger import MAX_ATTEMPTS, AnswerLeases, AnswerLedger, AnswerLimits, NewAnswer
from jobs.answers.queries import AnswerQueries
from jobs.errors import IdempotentResultDeleted, LeaseLost, NoSuchJob, QueueFull
from jobs.store import keys
from jobs.store.codec import encode_checkpoint
from jobs.store.connection import Store
from tests.answers import RESULT
from tests.ledger_helpers import make_checkpoint
from tests.support import wait_until

LIMITS = AnswerLimits(ttl_seconds=60, max_queued=10, max_bytes=1 << 20)
NEW = NewAnswer("job_p", "predict of pets", make_checkpoint(20), 1, {"inputs": [[1.0]]})
#: what an answer shares with jobs, and has for ever
SHARED = {keys.SEQUENCE.encode(), keys.checkpoints("default", "job_p").encode()}


class Answers:
    """Both ends of the protocol on an empty store."""

    def __init__(self, store: Store) -> None:
        self.store, self.ledger, self.queries = store, AnswerLedger(store), AnswerQueries(store)
        self.leases = AnswerLeases(store, 60)

    def submit(self, tenant: str = "default", limits: AnswerLimits = LIMITS, **key: str) -> str:
        checkpoints = keys.checkpoints(tenant, NEW.parent)
        self.store.hset(checkpoints, str(NEW.checkpoint.tick), encode_checkpoint(NEW.checkpoint))
        return self.ledger.submit(tenant, NEW, limits, **key)[0]

    def status(self, answer_id: str) -> str:
        return str(self.queries.get("default", answer_id).status)

    def expire_leases(self) -> None:
        names: Any = self.store.zrange(keys.ANSWER_LEASES, 0, -1)
        self.store.zadd(keys.ANSWER_LEASES, dict.fromkeys(names, 1))


@pytest.fixture
def answers(store: Store) -> Answers:
    return Answers(store)


def test_every_key_of_an_answer_expires_in_every_state(answers: Answers) -> None:
    def expect_ttl(seconds: float) -> None:
        names: Any = answers.store.keys("*")
        for name in set(names) - SHARED:
            assert 0 < answers.store.pttl(name) <= seconds * 1000, name

    keyed = {"idempotency_key": "k", "body_digest": "d"}
    first = answers.submit(**keyed)
    expect_ttl(60)
    answers.submit()
    claim = answers.leases.claim("w")
    assert claim is not None and claim.answer_id == first
    answers.leases.renew(claim)
    expect_ttl(60)
    answers.leases.succeed(claim, RESULT)
    expect_ttl(60)
    answers.ledger.delete("default", first)
    with pytest.raises(IdempotentResultDeleted):
        answers.submit(**keyed)
    expect_ttl(60)


def test_nothing_is_left_of_answers_whose_time_is_over(answers: Answers) -> None:
    brief = AnswerLimits(0.3, 100, 1 << 20)
    ids = [answers.submit(limits=brief, idempotency_key=f"k{n}") for n in range(20)]
    for _ in range(10):
        claim = answers.leases.claim("w")
        assert claim is not None
        answers.leases.succeed(claim, RESULT)
    nonces = AnswerLeases(answers.store, 0.1)
    assert nonces.claim("w") is not None
    wait_until(lambda: len(answers.store.keys("answer*")) == 0, 30)  # type: ignore[arg-type]
    for answer_id in ids:
        with pytest.raises(NoSuchJob):
            answers.queries.get("default", answer_id)


def test_answers_that_expired_in_the_queue_are_neither_claimed_nor_counted(
    answers: Answers,
) -> None:
    full = AnswerLimits(60, 3, 1 << 20)
    first = answers.submit(limits=full)
    old = [answers.submit(limits=AnswerLimits(0.2, 3, 1 << 20)) for _ in range(2)]
    with pytest.raises(QueueFull):
        answers.submit(limits=full)
    time.sleep(0.25)
    last = answers.submit(limits=full)
    claims = [answers.leases.claim("w") for _ in range(2)]
    assert [claim and claim.answer_id for claim in claims] == [first, last]
    assert answers.leases.claim("w") is None
    sizes: Any = answers.store.hgetall(keys.answer_bytes("default"))
    assert not set(map(str.encode, old)) & set(sizes)
    total = int(sizes.pop(b"total"))
    assert total == sum(map(int, sizes.values()))


def test_a_claim_that_is_sent_twice_gives_the_same_answer(answers: Answers) -> None:
    first, second = answers.submit(), answers.submit()
    claims = [answers.leases.claim("w", nonce="n") for _ in range(2)]
    assert [claim and claim.answer_id for claim in claims] == [first, first]
    assert claims[1] and claims[1].attempt == 1
    answers.leases.succeed(claims[1], RESULT)
    assert answers.leases.claim("w", nonce="n") is None
    answers.leases.succeed(claims[1], RESULT)  # so may the end be
    assert (answers.status(first), answers.status(second)) == ("succeeded", "queued")


def test_an_answer_whose_worker_is_gone_is_given_to_another_and_fails_after_three_attempts(
    answers: Answers,
) -> None:
    answer_id = answers.submit()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = answers.leases.claim(f"w{attempt}")
        assert claim is not None and claim.attempt == attempt
        answers.expire_leases()
    assert answers.leases.claim("w") is None
    answer = answers.queries.get("default", answer_id)
    assert answer.status == "failed" and answer.error is not None
    assert answer.error.type == "poison" and "3 attempts" in answer.error.detail
    with pytest.raises(LeaseLost):
        answers.leases.succeed(claim, RESULT)


def test_an_answer_that_a_drain_gives_back_is_first_again_and_has_lost_no_attempt(
    answers: Answers,
) -> None:
    first, _ = answers.submit(), answers.submit()
    for _ in range(MAX_ATTEMPTS + 2):
        claim = answers.leases.claim("w")
        assert claim is not None and (claim.answer_id, claim.attempt) == (first, 1)
        assert answers.leases.give_back(claim, "drain") == "queued"
    claim = answers.leases.claim("w")
    assert claim is not None
    answers.ledger.cancel("default", first, "cancel")
    assert answers.leases.give_back(claim, "a fault") == "cancelled"


def test_a_worker_that_has_lost_its_lease_writes_nothing(answers: Answers) -> None:
    answer_id = answers.submit()
    late = answers.leases.claim("late")
    answers.expire_leases()
    now = answers.leases.claim("now")
    assert late is not None and now is not None
    for write in (
        lambda: answers.leases.succeed(late, {"predictions": []}),
        lambda: answers.leases.fail(late, "t", "d"),
        lambda: answers.leases.give_back(late, "r"),
        lambda: answers.leases.renew(late),
    ):
        with pytest.raises(LeaseLost):
            write()
    answers.leases.succeed(now, RESULT)
    assert answers.queries.get("default", answer_id).result.model_dump() == RESULT  # type: ignore[union-attr]


def test_tenants_take_turns(answers: Answers) -> None:
    many = [answers.submit("many") for _ in range(4)]
    few = [answers.submit("few") for _ in range(2)]
    claims = [answers.leases.claim("w") for _ in range(6)]
    order = [claim.answer_id for claim in claims if claim]
    assert {*order[:2]} == {many[0], few[0]} and {*order[2:4]} == {many[1], few[1]}
    assert order[4:] == many[2:]
