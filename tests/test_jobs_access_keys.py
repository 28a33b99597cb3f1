"""Access keys in the store: made, recognised, listed, counted, deleted."""

import re
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from api.auth import TokenBucket
from jobs.access_keys import AccessKeys, CreateKeyResult
from jobs.errors import (
    BadCursor,
    IdempotencyMismatch,
    IdempotentResultDeleted,
    NoSuchKey,
    RateLimitExceeded,
)
from jobs.files.artifacts import ArtifactStore
from jobs.store.connection import connect
from tests.support import running_store

READ = frozenset({"read"})


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def create_key(access: AccessKeys, tenant: str = "team_a", **how: Any) -> CreateKeyResult:
    return access.create(tenant, how.pop("scopes", READ), "a name", creator="default", **how)


def secret_of(key: CreateKeyResult) -> str:
    assert key.secret is not None
    return key.secret


def test_a_secret_has_256_random_bits_behind_the_id_of_its_key(
    store: Any, artifacts: ArtifactStore
) -> None:
    key = create_key(AccessKeys(store, artifacts))
    assert re.fullmatch(r"key_[a-z0-9]{26}", key.info.id)
    prefix, letters, drawn = secret_of(key).split("_")
    assert (prefix, f"key_{letters}") == ("tf", key.info.id)
    assert 62 ** len(drawn) > 2**256
    assert secret_of(create_key(AccessKeys(store, artifacts))) != secret_of(key)


def test_a_secret_is_nowhere_in_the_store(store: Any, artifacts: ArtifactStore) -> None:
    secret = secret_of(create_key(AccessKeys(store, artifacts), idempotency_key="once")).encode()
    for name in store.scan_iter():
        assert secret[-43:] not in store.dump(name)
    assert secret not in name


def test_only_the_whole_secret_opens(store: Any, artifacts: ArtifactStore) -> None:
    access = AccessKeys(store, artifacts)
    secret = secret_of(create_key(access))
    key = access.authenticate(secret)
    assert key is not None
    assert (key.tenant, key.scopes) == ("team_a", READ)
    for wrong in (secret[:-1], secret + "x", secret.swapcase(), secret[:30], "tf__", "", "tf_a_b"):
        assert access.authenticate(wrong) is None, wrong


def test_a_deleted_key_opens_nothing_from_the_next_request_on(
    store: Any, artifacts: ArtifactStore
) -> None:
    access, elsewhere = AccessKeys(store, artifacts, rate=5), AccessKeys(store, artifacts, rate=5)
    key = create_key(access)
    assert elsewhere.authenticate(secret_of(key)) is not None and elsewhere.exists(key.info.id)
    access.delete(key.info.id)
    assert elsewhere.authenticate(secret_of(key)) is None
    assert not elsewhere.exists(key.info.id)
    assert [name for name in store.scan_iter() if key.info.id.encode() in name] == []
    with pytest.raises(NoSuchKey):
        access.delete(key.info.id)


def test_an_idempotency_key_makes_one_key_and_shows_its_secret_once(
    store: Any, artifacts: ArtifactStore
) -> None:
    access = AccessKeys(store, artifacts)
    first = create_key(access, idempotency_key="once", body_digest="a")
    again = create_key(access, idempotency_key="once", body_digest="a")
    assert (again.info, again.secret) == (first.info, None)
    with pytest.raises(IdempotencyMismatch):
        create_key(access, idempotency_key="once", body_digest="b")
    access.delete(first.info.id)
    with pytest.raises(IdempotentResultDeleted):
        create_key(access, idempotency_key="once", body_digest="a")
    other = access.create("x", READ, "", creator="others", idempotency_key="once", body_digest="a")
    assert other.secret is not None


def test_pages_go_through_all_keys_or_a_tenants(store: Any, artifacts: ArtifactStore) -> None:
    access = AccessKeys(store, artifacts)
    ids = [create_key(access, tenant).info.id for tenant in ("a", "b", "a", "b", "a")]
    page = access.list_keys(None, limit=2, after=None, descending=True)
    seen = [key.id for key in page.data]
    create_key(access, "a")  # what is added does not disturb the cursor
    while page.next_after:
        page = access.list_keys(None, limit=2, after=page.next_after, descending=True)
        seen += [key.id for key in page.data]
    assert seen == ids[::-1]
    assert [
        key.id for key in access.list_keys("b", limit=9, after=None, descending=False).data
    ] == [
        ids[1],
        ids[3],
    ]
    with pytest.raises(BadCursor):
        access.list_keys(None, limit=2, after="x", descending=True)


def test_a_key_may_send_its_burst_and_then_its_rate(store: Any, artifacts: ArtifactStore) -> None:
    one, two = (
        AccessKeys(store, artifacts, rate=10),
        AccessKeys(store, artifacts, rate=10),
    )  # two processes
    secret = secret_of(create_key(one))
    passed, began = 0, time.monotonic()
    with pytest.raises(RateLimitExceeded) as limited:
        for access in cycle((one, two)):
            access.authenticate(secret)
            passed += 1
    assert 20 <= passed <= 21 + 10 * (time.monotonic() - began)
    assert 0 < limited.value.seconds <= 0.1
    assert one.authenticate(secret_of(create_key(one))) is not None  # another key has its own


def test_a_client_without_the_secret_takes_no_tokens(store: Any, artifacts: ArtifactStore) -> None:
    access = AccessKeys(store, artifacts, rate=1)
    secret = secret_of(create_key(access))
    for _ in range(20):
        assert access.authenticate(secret[:-1]) is None
    assert access.authenticate(secret) is not None


def test_counting_requests_writes_nothing_to_the_disk(store: Any, artifacts: ArtifactStore) -> None:
    access = AccessKeys(store, artifacts, rate=1000)
    secret = secret_of(create_key(access))
    access.authenticate(secret)
    before = store.info("persistence")["aof_current_size"]
    for _ in range(50):
        access.authenticate(secret)
    assert store.info("persistence")["aof_current_size"] == before


def test_a_store_that_takes_nothing_more_still_knows_its_keys(artifacts: ArtifactStore) -> None:
    with running_store() as server:
        store = connect(server.url)
        access = AccessKeys(store, artifacts, rate=1000)
        secret = secret_of(create_key(access))
        store.config_set("maxmemory", 1)
        assert access.authenticate(secret) is not None
        store.close()


def test_keys_outlive_the_store_being_killed(artifacts: ArtifactStore) -> None:
    with running_store() as server:
        store = connect(server.url)
        secret = secret_of(create_key(AccessKeys(store, artifacts)))
        server.kill()
        server.start()
        assert AccessKeys(store, artifacts, rate=5).authenticate(secret) is not None
        store.close()


def test_a_bucket_fills_with_time_and_no_further_than_its_burst() -> None:
    now = [0.0]
    bucket = TokenBucket(2, clock=lambda: now[0])
    for _ in range(4):
        bucket.consume()
    with pytest.raises(RateLimitExceeded) as limited:
        bucket.consume()
    assert limited.value.seconds == pytest.approx(0.5)
    now[0] = 0.5
    bucket.consume()
    now[0] = 100
    for _ in range(4):
        bucket.consume()
    with pytest.raises(RateLimitExceeded):
        bucket.consume()
    for _ in range(1000):
        TokenBucket(0).consume()
