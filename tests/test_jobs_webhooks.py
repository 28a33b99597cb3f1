"""Webhooks in the store: events put into the outbox, fanned out, tried, ended, archived."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from jobs.archive.reader import ArchiveReader
from jobs.archive.restore import Restorer
from jobs.archive.restore_webhooks import restore_webhook, restore_webhook_tombstone
from jobs.errors import LeaseLost
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import LUA_FOLDER, Scripts, read_source
from jobs.tenant_secrets import tenant_secret
from jobs.webhooks.deliveries import Deliveries
from jobs.webhooks.delivery import HOUR, MINUTE, DeliveryInfo, retry_delay
from jobs.webhooks.fan_out import FanOut
from jobs.webhooks.queue import DeliveryQueue, DueLane, DueMessage, Outcome, TryResult
from jobs.webhooks.sealing import BrokenSeal, seal, unseal
from jobs.webhooks.service import NewWebhook, Webhooks
from jobs.webhooks.signature import make_secret, sign
from tests.edited_scripts import EditedScripts
from tests.ledger_helpers import append_losses, claim_job, make_checkpoint, submit_job

TENANT = "default"
URL = "https://hooks.example/in"


@pytest.fixture
def webhooks(store: Store, tmp_path: Path) -> Webhooks:
    return Webhooks(store, ArtifactStore(tmp_path))


@pytest.fixture
def queue(store: Store) -> DeliveryQueue:
    """The one sender's side."""
    sender = DeliveryQueue(store, lease_seconds=60)
    assert sender.hold_lease()
    return sender


def make(webhooks: Webhooks, tenant: str = TENANT, **changes: Any) -> str:
    fields = {"url": URL, "events": ["*"], "labels": {}, "name": "", "format": "standard"}
    return webhooks.create(tenant, NewWebhook(**{**fields, **changes})).info.id


def fan_out(store: Store, queue: DeliveryQueue, tenant: str = TENANT) -> int:
    return FanOut(store, queue.nonce).move_some(tenant, queue.read_due(1).now_ms).events


def due(queue: DeliveryQueue) -> list[DueMessage]:
    work = queue.read_due(100)
    return list(queue.read_messages(work.lanes, work.now_ms))


def drain(store: Store, queue: DeliveryQueue) -> Iterator[DueMessage]:
    """Deliver everything, one message after the other, as the sender finds it."""
    fan_out(store, queue)
    while messages := due(queue):
        yield messages[0]
        queue.report([result(messages[0].lane, "delivered", code=204)])


def result(lane: DueLane, outcome: Outcome, **how: Any) -> TryResult:
    return TryResult(lane, outcome, sent_ms=how.pop("sent_ms", 1000), **how)


def run_job(ledger: JobLedger, owner: LeaseLedger, end: str = "succeeded", **spec: Any) -> str:
    """Submit a job, claim it, validate and save at tick 20, and end it there."""
    job_id = submit_job(ledger, **spec)
    lease = claim_job(owner).lease
    point = b"\x14" + bytes(7) + b"\0\0\0\0\0\0\xe0\x3f"  # tick 20: 0.5
    owner.append_ticks(
        lease, 1, 20, {"loss": bytes(80)}, {}, 0, {"val_loss": point}, metrics='{"val_loss": 0.5}'
    )
    owner.commit_checkpoint(lease, make_checkpoint(20), [])
    owner.finish(lease, end, 20, stopped_by="budget" if end == "succeeded" else None)
    return job_id


def test_each_change_of_a_job_is_one_event_in_order_with_the_job_as_it_was(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    make(webhooks)
    job_id = run_job(ledger, lease_ledger, name="näme", labels={"team": "a"})
    bodies = [json.loads(message.body) for message in drain(store, queue)]
    kinds = ["job.started", "job.validated", "job.checkpointed", "job.succeeded"]
    assert [body["type"] for body in bodies] == kinds
    assert [body["data"]["tick"] for body in bodies] == [0, 20, 20, 20]
    assert [body["data"]["status"] for body in bodies] == ["running"] * 3 + ["succeeded"]
    data = bodies[-1]["data"]
    assert (data["id"], data["name"], data["labels"]) == (job_id, "näme", {"team": "a"})
    assert (data["loss"], data["ticks_total"], data["stopped_by"]) == (0.0, 20, "budget")
    assert data["metrics"] == {"val_loss": 0.5} and data["error"] is None
    assert bodies[0]["data"]["loss"] is None and data["links"]["self"] == f"/v1/jobs/{job_id}"


def test_a_pause_a_failure_and_a_cancel_are_told_and_a_second_start_is_not(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    make(webhooks)
    job_id = submit_job(ledger)
    first = claim_job(lease_ledger).lease
    append_losses(lease_ledger, first, 1, [1.0])
    lease_ledger.finish(first, "paused", 1)
    ledger.request_transition(TENANT, job_id, "resume")
    lease = claim_job(lease_ledger).lease
    lease_ledger.finish(lease, "failed", 1, error={"type": "spec", "detail": "no"})
    ledger.request_transition(TENANT, submit_job(ledger), "cancel")
    events = [json.loads(message.body) for message in drain(store, queue)]
    kinds = [event["type"] for event in events]
    assert sorted(kinds) == ["job.cancelled", "job.failed", "job.paused", "job.started"]
    failed = next(event["data"] for event in events if event["type"] == "job.failed")
    assert failed["error"]["detail"] == "no"


def test_without_a_webhook_no_script_writes_anything_of_webhooks(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks
) -> None:
    run_job(ledger, lease_ledger)
    assert [name for name in store.scan_iter("webhook*")] == []
    make(webhooks, events=["job.failed"])
    make(webhooks, tenant="other")
    run_job(ledger, lease_ledger)
    assert [name for name in store.scan_iter("webhooks:outbox*")] == []


def test_a_webhook_gets_what_its_events_and_labels_say_and_a_job_names_others(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    ends = make(webhooks, events=["job.succeeded", "job.failed"], labels={"team": "a"})
    webhooks.get_default(TENANT)
    url = "http://named.example/x?y=1"
    run_job(ledger, lease_ledger, labels={"team": "a", "more": "b"})
    run_job(ledger, lease_ledger, labels={"team": "b"})
    named = run_job(ledger, lease_ledger, labels={"team": "b"}, notify=[ends, url])
    called = [(p.url, p.event, json.loads(p.body)["data"]["id"]) for p in drain(store, queue)]
    assert [event for to, event, _ in called if to == URL] == ["job.succeeded"] * 2
    kinds = ["job.started", "job.validated", "job.checkpointed", "job.succeeded"]
    assert [event for to, event, job in called if (to, job) == (url, named)] == kinds
    assert len(called) == 6


def test_an_event_has_the_same_id_for_ever_and_others_have_others(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    make(webhooks)
    make(webhooks)
    job_id = run_job(ledger, lease_ledger)
    ids = [message.lane.message_id for message in drain(store, queue)]
    assert len(set(ids)) == 8
    told_again(store, job_id, "job.succeeded")
    again = [message.lane.message_id for message in drain(store, queue)]
    assert len(again) == 2 and set(again) <= set(ids)


def told_again(store: Store, job_id: str, kind: str) -> None:
    """Put an event of a job into the outbox once more, as the script did that created it so."""
    header = {"member": keys.job_member(TENANT, job_id), "kind": kind}
    prelude = (LUA_FOLDER / "prelude.lua").read_text()
    store.eval(f"{prelude} emit(h.member, h.kind)", 0, json.dumps(header))


def test_messages_of_a_job_wait_for_the_one_before_and_other_jobs_do_not(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    make(webhooks)
    first, second = run_job(ledger, lease_ledger), run_job(ledger, lease_ledger)
    fan_out(store, queue)
    messages = {message.lane.lane: message for message in due(queue)}
    assert {lane: message.event for lane, message in messages.items()} == {
        first: "job.started", second: "job.started",
    }  # fmt: skip
    again = result(messages[first].lane, "again", code=500, error="answered 500", delay_ms=5000)
    queue.report([again, result(messages[second].lane, "delivered", code=200)])
    assert [(message.lane.lane, message.event) for message in due(queue)] == [
        (second, "job.validated")
    ]
    store.zadd(keys.webhook_lanes(TENANT, messages[first].receiver.id), {first: 0})
    store.zadd(keys.WEBHOOKS_DUE, {messages[first].lane.member: 0})
    retried = next(message for message in due(queue) if message.lane.lane == first)
    assert (retried.event, retried.attempt, retried.first_ms) == ("job.started", 1, 1000)
    assert (retried.body, retried.lane) == (messages[first].body, messages[first].lane)


def test_what_is_moved_and_first_of_its_lane_is_due_at_once_and_as_it_is_read_back(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    make(webhooks)
    make(webhooks, format="cloudevents")
    mover = FanOut(store, queue.nonce)
    first = run_job(ledger, lease_ledger)
    moved = mover.move_some(TENANT, 0)
    assert (moved.events, [message.event for message in moved.due]) == (4, ["job.started"] * 2)
    assert sorted(moved.due, key=str) == sorted(due(queue), key=str)
    second = run_job(ledger, lease_ledger)
    assert {message.lane.lane for message in mover.move_some(TENANT, 0).due} == {second}
    assert {message.lane.lane for message in due(queue)} == {first, second}


def test_a_message_behind_another_is_sent_at_once_after_that_and_has_no_time_of_its_own(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    webhook, deliveries = make(webhooks), Deliveries(store)
    run_job(ledger, lease_ledger)
    fan_out(store, queue)
    (first,) = due(queue)
    queue.report([result(first.lane, "again", code=500, delay_ms=3_600_000)])
    page = deliveries.read_page(TENANT, webhook, limit=100, after=None, descending=False)
    listed = [DeliveryInfo.model_validate_json(text) for text in page.data]
    assert [delivery.event for delivery in listed] == [
        "job.started", "job.validated", "job.checkpointed", "job.succeeded",
    ]  # fmt: skip
    assert [bool(delivery.next_try) for delivery in listed] == [True, False, False, False]
    assert due(queue) == []
    deliveries.redeliver(TENANT, webhook, listed[2].id)
    assert [message.event for message in due(queue)] == ["job.started"]
    assert [message.event for message in drain(store, queue)] == [
        delivery.event for delivery in listed
    ]


def test_an_event_is_fanned_out_once_and_a_try_recorded_once_whoever_repeats_it(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    hook = make(webhooks)
    run_job(ledger, lease_ledger)
    dumped = store.dump(keys.webhook_outbox(TENANT))
    fan_out(store, queue)
    first = due(queue)[0]
    queue.report([result(first.lane, "delivered", code=200)])
    queue.report([result(first.lane, "delivered", code=200)])
    assert store.zcard(keys.webhook_waiting(TENANT, hook)) == 3
    store.restore(keys.webhook_outbox(TENANT), 0, dumped)  # type: ignore[arg-type]
    store.sadd(keys.WEBHOOK_OUTBOXES, TENANT)
    fan_out(store, queue)
    assert store.zcard(keys.webhook_messages(TENANT, hook)) == 4
    # what waits stays as it is; what was delivered goes again, with its id
    assert store.zcard(keys.webhook_waiting(TENANT, hook)) == 4


def test_what_another_has_moved_meanwhile_is_not_moved_again(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hook = make(webhooks)
    run_job(ledger, lease_ledger)
    mover = FanOut(store, queue.nonce)
    move = mover._move

    def move_late(*what: Any) -> None:
        move(*what)
        delivered = [queue.report([result(message.lane, "delivered", code=200)])
                     for _ in range(4) for message in due(queue)]  # fmt: skip
        assert len(delivered) == 4
        move(*what)

    monkeypatch.setattr(mover, "_move", move_late)
    mover.move_some(TENANT, 0)
    assert store.zcard(keys.webhook_waiting(TENANT, hook)) == 0


def test_who_has_lost_the_lease_moves_and_records_nothing(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    hook = make(webhooks)
    run_job(ledger, lease_ledger)
    other = DeliveryQueue(store, lease_seconds=60)
    assert not other.hold_lease()
    with pytest.raises(LeaseLost):
        fan_out(store, other)
    assert store.xlen(keys.webhook_outbox(TENANT)) == 4
    fan_out(store, queue)
    message = due(queue)[0]
    with pytest.raises(LeaseLost):
        other.report([result(message.lane, "delivered", code=200)])
    assert store.zcard(keys.webhook_waiting(TENANT, hook)) == 4
    queue.release_lease()
    assert other.hold_lease() and not queue.hold_lease()


def test_a_webhook_that_gives_up_is_disabled_and_what_waits_for_it_ends(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    hook = make(webhooks)
    run_job(ledger, lease_ledger)
    fan_out(store, queue)
    message = due(queue)[0]
    member = message.lane.member
    gone = result(message.lane, "failed", code=410, error="answered 410", disable="it answered 410")
    assert queue.report([gone]) == [member]
    info = webhooks.get(TENANT, hook)
    assert (info.enabled, info.disabled_reason, info.waiting) == (False, "it answered 410", 3)
    run_job(ledger, lease_ledger)
    assert store.exists(keys.webhook_outbox(TENANT)) == 0, "nobody listens"
    (message,) = due(queue)
    queue.report([result(message.lane, "closed", error="the webhook is disabled")])
    assert due(queue) == [] and webhooks.get(TENANT, hook).waiting == 0
    assert webhooks.change(TENANT, hook, {}, enabled=True).info.disabled_reason is None
    run_job(ledger, lease_ledger)
    assert store.xlen(keys.webhook_outbox(TENANT)) == 4


def test_the_oldest_events_and_deliveries_beyond_the_bounds_are_dropped_and_counted(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hook = make(webhooks)
    edited = EditedScripts(store, [("MAX_WAITING = 10000", "MAX_WAITING = 3")])
    for owner in (ledger, lease_ledger):
        monkeypatch.setattr(owner, "_scripts", with_outbox_of(store, 5))
    run_job(ledger, lease_ledger)
    run_job(ledger, lease_ledger)
    assert store.xlen(keys.webhook_outbox(TENANT)) == 5
    assert webhooks.get(TENANT, hook).events_dropped == 3
    mover = FanOut(store, queue.nonce)
    monkeypatch.setattr(mover, "_scripts", edited)
    assert mover.move_some(TENANT, 0).events == 5
    info = webhooks.get(TENANT, hook)
    assert (info.waiting, info.dropped) == (3, 2)
    assert [message.event for message in due(queue)] == ["job.validated"], "lanes go on"
    outcomes = store.hgetall(keys.WEBHOOK_OUTCOMES)
    assert outcomes == {b"event_dropped": b"3", b"dropped": b"2"}


def with_outbox_of(store: Store, size: int) -> Any:
    """The scripts, with a smaller outbox; the constant is in the prelude of all of them."""
    scripts = Scripts(store)
    for name in ("submit", "claim", "append", "commit_checkpoint", "finish"):
        old = "MAX_OUTBOX_EVENTS = 10000"
        assert old in (text := read_source(name))
        new = text.replace(old, f"MAX_OUTBOX_EVENTS = {size}")
        scripts._registered[name] = store.register_script(new)
    return scripts


def test_of_ended_deliveries_the_newest_stay(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hook = make(webhooks)
    edited = EditedScripts(store, [("MAX_ENDED = 1000", "MAX_ENDED = 3")])
    monkeypatch.setattr(queue, "_scripts", edited)
    run_job(ledger, lease_ledger)
    sent = [message.lane.message_id for message in drain(store, queue)]
    listed = [name.decode() for name in store.zrange(keys.webhook_messages(TENANT, hook), 0, -1)]
    assert listed == sent[-3:]
    assert len(list(store.scan_iter("webhook:*:message:*"))) == 3


def test_a_deleted_webhook_leaves_nothing(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue,
) -> None:  # fmt: skip
    hook = make(webhooks)
    run_job(ledger, lease_ledger)
    fan_out(store, queue)
    message = due(queue)[0]
    webhooks.delete(TENANT, hook)
    queue.report([result(message.lane, "again", delay_ms=1)])
    left = {name.decode() for name in store.scan_iter("webhook*")}
    assert left == {keys.WEBHOOK_LEASE, keys.WEBHOOK_SEQUENCE}


def test_tries_are_spread_over_three_days() -> None:
    delays, passed, at = list[float](), 0.0, 1
    while (delay := retry_delay(at, passed)) is not None:
        delays.append(delay)
        passed, at = passed + delay, at + 1
    assert delays[:7] == [5, 30, 2 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 10 * HOUR]
    assert set(delays[7:]) == {12 * HOUR} and 60 * HOUR < passed <= 72 * HOUR
    assert retry_delay(2, 71.999 * HOUR) is None


def test_each_live_secret_signs_and_a_verifier_of_the_standard_agrees() -> None:
    old, new, other = make_secret(), make_secret(), make_secret()
    body, seconds = '{"type":"ö"}'.encode(), int(time.time())
    header = sign([new, old], "msg_1", seconds, body)
    assert header.count(" ") == 1 and header.count("v1,") == 2
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": str(seconds), "webhook-signature": header,
    }  # fmt: skip
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers) == {"type": "ö"}
    for secret, data in ((other, body), (new, body + b" ")):
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(secret).verify(data, headers)


def test_a_sealed_text_opens_with_its_key_and_purpose_alone_and_shows_nothing() -> None:
    key, text = b"k" * 32, make_secret()
    sealed = seal(key, text, "wh_1")
    assert unseal(key, sealed, "wh_1") == text and text.encode() not in sealed
    assert seal(key, text, "wh_1") != sealed
    for broken in (
        (b"j" * 32, sealed, "wh_1"), (key, sealed, "wh_2"), (key, sealed[:-8], "wh_1"),
        (key, sealed[:10] + (b"A" if sealed[10:11] != b"A" else b"B") + sealed[11:], "wh_1"),
        (key, b"2." + sealed[2:], "wh_1"), (key, b"1.x", "wh_1"),
    ):  # fmt: skip
        with pytest.raises(BrokenSeal):
            unseal(*broken)


def test_neither_the_store_nor_the_archive_shows_a_secret(
    store: Store, webhooks: Webhooks, tmp_path: Path
) -> None:
    fields = NewWebhook(URL, ["*"], {}, "", "standard")
    first = webhooks.create(TENANT, fields)
    second = webhooks.change(TENANT, first.info.id, {}, rotate=True).secret
    assert first.secret and second and first.secret != second
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(first.info.id.encode() in text for text in texts)
    values = [str(store.dump(name)).encode() for name in store.scan_iter()]
    for secret in (first.secret, second):
        for text in (*texts, *values):
            assert secret[-40:].encode() not in text
    record = store.hgetall(keys.webhook(TENANT, first.info.id))
    key = tenant_secret(store, TENANT)
    assert unseal(key, record[b"secret"], first.info.id) == second  # type: ignore[index]


def test_a_rebuilt_store_has_its_webhooks_and_sends_the_newest_ends_again_with_their_ids(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger, webhooks: Webhooks,
    queue: DeliveryQueue, tmp_path: Path,
) -> None:  # fmt: skip
    first_hook = webhooks.create(
        TENANT, NewWebhook(URL, ["*"], {}, "n", "standard"), idempotency_key="k", body_digest="d"
    ).info
    gone, default = make(webhooks), webhooks.get_default(TENANT).info
    webhooks.delete(TENANT, gone)
    new, old = run_job(ledger, lease_ledger), run_job(ledger, lease_ledger, end="failed")
    ids = {(p.lane.lane, p.event): p.lane.message_id for p in drain(store, queue)}
    four_days_ago = int(store.time()[0]) * 1000 - 4 * 86_400_000
    store.hset(keys.job(TENANT, old), "finished_ms", four_days_ago)
    jobs = {name: store.hgetall(keys.job(TENANT, name)) for name in (new, old)}
    store.flushall()
    reader, restorer = ArchiveReader(ArtifactStore(tmp_path)), Restorer(store, 1)
    records = {folder: list(reader.read_records(folder)) for folder in
               ("secrets", "deleted-webhooks", "webhooks")}  # fmt: skip
    for folder, restore in (
        ("secrets", Restorer.restore_secret), ("deleted-webhooks", restore_webhook_tombstone),
        ("webhooks", restore_webhook),
    ):  # fmt: skip
        for record in records[folder]:
            restore(restorer, record)  # type: ignore[arg-type]
    for name, record in jobs.items():
        store.hset(keys.job(TENANT, name), mapping=record)  # type: ignore[arg-type]
        header = {"member": keys.job_member(TENANT, name), "base": 0}
        restorer.scripts.call("restore", header)
    assert webhooks.get(TENANT, first_hook.id) == first_hook
    assert webhooks.get_default(TENANT).info == default
    replayed = webhooks.create(
        TENANT, NewWebhook(URL, ["*"], {}, "n", "standard"), idempotency_key="k", body_digest="d"
    )
    assert (replayed.info.id, replayed.secret) == (first_hook.id, None)
    assert not webhooks.exists(TENANT, gone) and queue.hold_lease()
    make(webhooks)  # made after the end: it is not told of it
    (again,) = drain(store, queue)
    assert (again.event, again.lane.message_id) == ("job.succeeded", ids[new, "job.succeeded"])
    assert again.receiver.secrets(tenant_secret(store, TENANT))


def test_appends_of_a_job_without_webhooks_read_nothing_of_them(
    store: Store, ledger: JobLedger, lease_ledger: LeaseLedger
) -> None:
    submit_job(ledger)
    lease = claim_job(lease_ledger).lease
    append_losses(lease_ledger, lease, 1, [1.0])
    store.config_resetstat()
    append_losses(lease_ledger, lease, 2, [1.0])
    counts = store.info("commandstats")
    created = {name: stat["calls"] for name, stat in counts.items() if "script" not in name}
    assert created.get("cmdstat_hmget", 0) <= 3 and "cmdstat_xlen" not in created
