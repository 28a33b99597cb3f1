"""One hunt: events of jobs to a receiver that fails by a seed, while sender and store are killed.

At the end every event must have been taken, under one id, with one body, in the order of its job;
only calls may have come twice.
"""

import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.store_server import StoreServer, running_store
from faults.webhooks.producer import TENANT, EventName, Producer
from faults.webhooks.receiver import NO_ANSWER, Call, WebhookReceiver, running_receiver
from faults.webhooks.sender import FAULT_POINTS, KilledSender
from jobs.errors import JobsError
from jobs.files.artifacts import ArtifactStore
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, Store, connect
from jobs.webhooks.service import NewWebhook, Webhooks

FAILURE_SHARE = 0.1  # of calls that fail; each of a message at most twice
STORE_KILLS = 2
MAX_SECONDS = 1800


@dataclass(frozen=True)
class HuntResult:
    """What came of a hunt; `faults` is empty where every promise held."""

    events: int
    calls: int
    doubles: int  # calls of a message that had been taken before
    refused: int
    kills: Counter[str]
    store_kills: int
    faults: list[str]


def hunt(events: int, seed: int, points: Sequence[str] = FAULT_POINTS) -> HuntResult:
    """Send so many events, kill a sender at each of these points, and check what came."""
    with (
        tempfile.TemporaryDirectory(prefix="tickforge-") as folder,
        running_store() as server,
        running_receiver() as receiver,
        _running_sender(server, Path(folder), points, random.Random(seed)) as sender,
    ):
        receiver.answer = _failing(seed)
        webhooks = Webhooks(connect(server.url), ArtifactStore(Path(folder) / "data/artifacts"))
        hook = NewWebhook(receiver.url, ["*"], {}, "", "standard")
        hook_id = webhooks.create(TENANT, hook).info.id
        producer = Producer(connect(server.url), events)
        producer.start()
        store_kills = _drive(server, sender, receiver, producer, hook_id, events)
        faults = list(find_faults(producer, receiver.calls))
        faults += _find_drops(webhooks, hook_id)
        taken = Counter(call.id for call in receiver.calls if call.status == 204)
        refused = sum(call.status != 204 for call in receiver.calls)
        doubles = sum(taken.values()) - len(taken)
        calls = len(receiver.calls)
        return HuntResult(len(taken), calls, doubles, refused, sender.kills, store_kills, faults)


@contextmanager
def _running_sender(
    server: StoreServer, folder: Path, points: Sequence[str], rng: random.Random
) -> Iterator[KilledSender]:
    sender = KilledSender(server, folder, points, rng)
    try:
        yield sender
    finally:
        sender.end()


def _drive(
    server: StoreServer,
    sender: KilledSender,
    receiver: WebhookReceiver,
    producer: Producer,
    hook_id: str,
    events: int,
) -> int:
    """Keep a sender running until everything was taken; return how often the store was killed."""
    store, kills, deadline = connect(server.url), 0, time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        sender.keep_running()
        taken = len({call.id for call in list(receiver.calls) if call.status == 204})
        if kills < STORE_KILLS and taken > events * (kills + 1) // (STORE_KILLS + 1):
            server.kill()
            server.start()
            kills += 1
        with suppress(*UNAVAILABLE):
            _hurry(store, hook_id)
            is_empty = not store.exists(
                keys.webhook_outbox(TENANT), keys.webhook_lanes(TENANT, hook_id)
            )
            if producer.is_done and is_empty and (sender.is_through or taken >= events):
                return kills
        time.sleep(0.1)
    return kills


def _hurry(store: Store, hook_id: str) -> None:
    """Let all next tries be due now: it is not the delays that are hunted."""
    lanes: Any = store.zrange(keys.webhook_lanes(TENANT, hook_id), 0, -1)
    with store.pipeline(transaction=False) as pipe:
        for lane in lanes:
            pipe.zadd(keys.webhook_lanes(TENANT, hook_id), {lane: 0}, xx=True)
        pipe.zadd(keys.WEBHOOKS_DUE, {keys.job_member(TENANT, hook_id): 0}, xx=True)
        pipe.execute()


def _failing(seed: int) -> Callable[[Call], int]:
    """Return an answer that fails for a share of messages, by seed, each at most twice."""
    tries: Counter[str] = Counter()

    def answer(call: Call) -> int:
        tries[call.id] += 1
        draw = random.Random(f"{seed} {call.id} {tries[call.id]}").random()
        if tries[call.id] > 2 or draw >= FAILURE_SHARE:
            return 204
        return (500, 302, NO_ANSWER)[int(draw / FAILURE_SHARE * 3)]

    return answer


def find_faults(producer: Producer, calls: Sequence[Call]) -> Iterator[str]:
    """Yield what was lost, came under two ids or with two bodies, or out of order."""
    names, bodies = dict[str, EventName](), dict[str, bytes]()
    taken: dict[str, list[EventName]] = defaultdict(list)
    for call in calls:
        data = call.json["data"]
        name = (data["id"], call.type, data["tick"])
        if names.setdefault(call.id, name) != name or bodies.setdefault(call.id, call.body) != (
            call.body
        ):
            yield f"{call.id} is of two events, or has two bodies"
        if call.status == 204 and name not in taken[name[0]]:
            taken[name[0]].append(name)
    for job_id, expected in producer.events.items():
        if taken[job_id] != expected:
            lost = [name for name in expected if name not in taken[job_id]]
            yield f"{job_id}: {len(lost)} events lost, or out of order: {lost[:3]}"
    if len(set(names.values())) != len(names):
        yield "an event came under two ids"


def _find_drops(webhooks: Webhooks, hook_id: str) -> list[str]:
    try:
        info = webhooks.get(TENANT, hook_id)
    except JobsError as error:
        return [f"the webhook is gone: {error}"]
    is_well = info.enabled and info.waiting + info.dropped + info.events_dropped == 0
    return [] if is_well else [f"the webhook ends as {info}"]
