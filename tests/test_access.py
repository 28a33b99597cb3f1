"""Access keys in the store: made, recognised, listed, counted, deleted."""

import re
from typing import Any

import pytest

from api.bucket import Bucket
from jobs.access import Access, MadeKey
from jobs.errors import BadCursor, Gone, IdempotencyMismatch, NoSuchKey, RateLimited
from jobs.store import connect
from tests.support import running_store

READ = frozenset({"read"})


def made(access: Access, tenant: str = "team_a", **how: Any) -> MadeKey:
    return access.make(tenant, how.pop("scopes", READ), "a name", maker="default", **how)


def secret_of(key: MadeKey) -> str:
    assert key.secret is not None
    return key.secret


def test_a_secret_has_256_random_bits_behind_the_id_of_its_key(store: Any) -> None:
    key = made(Access(store))
    assert re.fullmatch(r"key_[a-z0-9]{26}", key.about.id)
    prefix, letters, drawn = secret_of(key).split("_")
    assert (prefix, f"key_{letters}") == ("tf", key.about.id)
    assert 62 ** len(drawn) > 2**256
    assert secret_of(made(Access(store))) != secret_of(key)


def test_a_secret_is_nowhere_in_the_store(store: Any) -> None:
    secret = secret_of(made(Access(store), idempotency_key="once")).encode()
    for name in store.scan_iter():
        assert secret[-43:] not in store.dump(name)
    assert secret not in name


def test_only_the_whole_secret_opens(store: Any) -> None:
    access = Access(store)
    secret = secret_of(made(access))
    key = access.enter(secret)
    assert key is not None
    assert (key.tenant, key.scopes) == ("team_a", READ)
    for wrong in (secret[:-1], secret + "x", secret.swapcase(), secret[:30], "tf__", "", "tf_a_b"):
        assert access.enter(wrong) is None, wrong


def test_a_deleted_key_opens_nothing_from_the_next_request_on(store: Any) -> None:
    access, elsewhere = Access(store, rate=5), Access(store, rate=5)
    key = made(access)
    assert elsewhere.enter(secret_of(key)) is not None and elsewhere.holds(key.about.id)
    access.delete(key.about.id)
    assert elsewhere.enter(secret_of(key)) is None
    assert not elsewhere.holds(key.about.id)
    assert [name for name in store.scan_iter() if key.about.id.encode() in name] == []
    with pytest.raises(NoSuchKey):
        access.delete(key.about.id)


def test_an_idempotency_key_makes_one_key_and_shows_its_secret_once(store: Any) -> None:
    access = Access(store)
    first = made(access, idempotency_key="once", body_digest="a")
    again = made(access, idempotency_key="once", body_digest="a")
    assert (again.about, again.secret) == (first.about, None)
    with pytest.raises(IdempotencyMismatch):
        made(access, idempotency_key="once", body_digest="b")
    access.delete(first.about.id)
    with pytest.raises(Gone):
        made(access, idempotency_key="once", body_digest="a")
    other = access.make("x", READ, "", maker="others", idempotency_key="once", body_digest="a")
    assert other.secret is not None


def test_pages_go_through_all_keys_or_a_tenants(store: Any) -> None:
    access = Access(store)
    ids = [made(access, tenant).about.id for tenant in ("a", "b", "a", "b", "a")]
    page = access.page(None, limit=2, after=None, descending=True)
    seen = [each.id for each in page.data]
    made(access, "a")  # what is added does not disturb the cursor
    while page.next_after:
        page = access.page(None, limit=2, after=page.next_after, descending=True)
        seen += [each.id for each in page.data]
    assert seen == ids[::-1]
    assert [each.id for each in access.page("b", limit=9, after=None, descending=False).data] == [
        ids[1],
        ids[3],
    ]
    with pytest.raises(BadCursor):
        access.page(None, limit=2, after="x", descending=True)


def test_a_key_may_send_its_burst_and_then_its_rate(store: Any) -> None:
    one, two = Access(store, rate=10), Access(store, rate=10)  # two processes
    secret = secret_of(made(one))
    passed = 0
    with pytest.raises(RateLimited) as limited:
        for access in (one, two) * 100:
            access.enter(secret)
            passed += 1
    assert 20 <= passed <= 30
    assert 0 < limited.value.seconds <= 0.1
    assert one.enter(secret_of(made(one))) is not None  # another key has its own


def test_who_has_no_secret_takes_no_tokens(store: Any) -> None:
    access = Access(store, rate=1)
    secret = secret_of(made(access))
    for _ in range(20):
        assert access.enter(secret[:-1]) is None
    assert access.enter(secret) is not None


def test_counting_requests_writes_nothing_to_the_disk(store: Any) -> None:
    access = Access(store, rate=1000)
    secret = secret_of(made(access))
    access.enter(secret)
    before = store.info("persistence")["aof_current_size"]
    for _ in range(50):
        access.enter(secret)
    assert store.info("persistence")["aof_current_size"] == before


def test_a_store_that_takes_nothing_more_still_knows_its_keys() -> None:
    with running_store() as server:
        store = connect(server.url)
        access = Access(store, rate=1000)
        secret = secret_of(made(access))
        store.config_set("maxmemory", 1)
        assert access.enter(secret) is not None
        store.close()


def test_keys_outlive_the_store_being_killed() -> None:
    with running_store() as server:
        store = connect(server.url)
        secret = secret_of(made(Access(store)))
        server.kill()
        server.start()
        assert Access(store, rate=5).enter(secret) is not None
        store.close()


def test_a_bucket_fills_with_time_and_no_further_than_its_burst() -> None:
    now = [0.0]
    bucket = Bucket(2, clock=lambda: now[0])
    for _ in range(4):
        bucket.take()
    with pytest.raises(RateLimited) as limited:
        bucket.take()
    assert limited.value.seconds == pytest.approx(0.5)
    now[0] = 0.5
    bucket.take()
    now[0] = 100
    for _ in range(4):
        bucket.take()
    with pytest.raises(RateLimited):
        bucket.take()
    for _ in range(1000):
        Bucket(0).take()
