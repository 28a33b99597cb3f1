"""Moves events from tenants' outboxes to the webhooks that take them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobs.errors import LeaseLost
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import Scripts
from jobs.webhooks.event import OutboxEvent, WebhookMessage, make_messages, parse_event
from jobs.webhooks.queue import DueLane, DueMessage
from jobs.webhooks.webhook import Receiver, parse_receiver

MAX_EVENTS = 100  # moved by one script
MAX_MESSAGES = 400  # made by one script, unless one event alone makes more


class Moved(NamedTuple):
    """How many events were moved, the messages of them that nothing is before, and how many events
    of the tenant were dropped so far, since no worker took them in time.
    """

    events: int
    due: list[DueMessage]
    dropped: int


class FanOut:
    """Reads outboxes and moves what they hold."""

    def __init__(self, store: Store, nonce: str) -> None:
        """Move as the sender of this nonce."""
        self._store, self._scripts, self._nonce = store, Scripts(store), nonce

    def move_some(self, tenant: str, now_ms: int) -> Moved:
        """Move a tenant's oldest events. Raises LeaseLost."""
        with self._store.pipeline(transaction=False) as pipe:
            pipe.xrange(keys.webhook_outbox(tenant), count=MAX_EVENTS)
            pipe.get(keys.webhook_drops(tenant))
            pipe.zrange(keys.webhook_index(tenant), 0, -1)
            entries, dropped, ids = pipe.execute()
        receivers = self._read_receivers(tenant, ids, now_ms)
        moved: list[tuple[OutboxEvent, list[WebhookMessage]]] = []
        count = 0
        for entry, fields in entries:
            event = parse_event(entry, fields)
            messages = make_messages(event, receivers)
            if moved and count + len(messages) > MAX_MESSAGES:
                break
            moved.append((event, messages))
            count += len(messages)
        return Moved(len(moved), self._move(tenant, moved), int(dropped or 0))

    def _move(
        self, tenant: str, moved: Sequence[tuple[OutboxEvent, Sequence[WebhookMessage]]]
    ) -> list[DueMessage]:
        events = [
            {
                "entry": event.entry,
                "messages": [
                    {
                        "webhook": message.receiver.id, "id": message.id, "lane": message.lane,
                        "event": event.type, "job": event.job_id, "tick": event.tick,
                        "url": message.url,
                    }
                    for message in messages
                ],
            }
            for event, messages in moved
        ]  # fmt: skip
        header = {"nonce": self._nonce, "tenant": tenant, "events": events}
        due = [_due_message(tenant, event, one) for event, messages in moved for one in messages]
        answer = self._scripts.call("webhook_fan_out", header, *(message.body for message in due))
        if answer[0] == b"fenced":
            raise LeaseLost("another worker sends to webhooks now")
        return [due[int(number)] for number in answer[2:]]

    def _read_receivers(self, tenant: str, ids: Sequence[bytes], now_ms: int) -> list[Receiver]:
        with self._store.pipeline(transaction=False) as pipe:
            for webhook_id in ids:
                pipe.hgetall(keys.webhook(tenant, webhook_id.decode()))
            records: Any = pipe.execute()
        return [parse_receiver(record, now_ms) for record in records if record]


def _due_message(tenant: str, event: OutboxEvent, message: WebhookMessage) -> DueMessage:
    receiver = message.receiver
    return DueMessage(
        lane=DueLane(keys.job_member(tenant, receiver.id), message.lane, message.id),
        receiver=receiver, url=message.url or receiver.url, event=event.type, body=message.body,
        attempt=0, first_ms=None, is_test=False,
    )  # fmt: skip
