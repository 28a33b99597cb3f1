"""Moves events from tenants' outboxes to the webhooks that take them."""

from collections.abc import Iterator, Sequence
from typing import Any

from jobs.errors import LeaseLost
from jobs.ids import is_webhook_id
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import Scripts
from jobs.webhooks.event import OutboxEvent, WebhookMessage, make_message, parse_event
from jobs.webhooks.webhook import Receiver, parse_receiver

MAX_EVENTS = 100  # moved by one script
MAX_MESSAGES = 400  # made by one script, unless one event alone makes more


class FanOut:
    """Reads outboxes and moves what they hold."""

    def __init__(self, store: Store, nonce: str) -> None:
        """Move as the sender of this nonce."""
        self._store, self._scripts, self._nonce = store, Scripts(store), nonce

    def move_some(self, tenant: str, now_ms: int) -> int:
        """Move a tenant's oldest events; return how many. Raises LeaseLost."""
        entries: Any = self._store.xrange(keys.webhook_outbox(tenant), count=MAX_EVENTS)
        receivers = self._read_receivers(tenant, now_ms)
        moved: list[tuple[OutboxEvent, list[WebhookMessage]]] = []
        count = 0
        for entry, fields in entries:
            event = parse_event(entry, fields)
            messages = list(_make_messages(event, receivers))
            if moved and count + len(messages) > MAX_MESSAGES:
                break
            moved.append((event, messages))
            count += len(messages)
        self._move(tenant, moved)
        return len(moved)

    def count_dropped(self, tenant: str) -> int:
        """Count the events of a tenant that were dropped, since no worker took them in time."""
        count: Any = self._store.get(keys.webhook_drops(tenant))
        return int(count or 0)

    def _move(
        self, tenant: str, moved: Sequence[tuple[OutboxEvent, Sequence[WebhookMessage]]]
    ) -> None:
        events = [
            {
                "entry": event.entry,
                "messages": [
                    {
                        "webhook": message.webhook_id, "id": message.id, "lane": message.lane,
                        "event": event.type, "job": event.job_id, "tick": event.tick,
                        "url": message.url,
                    }
                    for message in messages
                ],
            }
            for event, messages in moved
        ]  # fmt: skip
        header = {"nonce": self._nonce, "tenant": tenant, "events": events}
        bodies = [message.body for _, messages in moved for message in messages]
        if self._scripts.call("webhook_fan_out", header, *bodies)[0] == b"fenced":
            raise LeaseLost("another worker sends to webhooks now")

    def _read_receivers(self, tenant: str, now_ms: int) -> list[Receiver]:
        ids: Any = self._store.zrange(keys.webhook_index(tenant), 0, -1)
        with self._store.pipeline(transaction=False) as pipe:
            for webhook_id in ids:
                pipe.hgetall(keys.webhook(tenant, webhook_id.decode()))
            records: Any = pipe.execute()
        return [parse_receiver(record, now_ms) for record in records if record]


def _make_messages(event: OutboxEvent, receivers: Sequence[Receiver]) -> Iterator[WebhookMessage]:
    """Yield a message for each webhook that takes the event, and each that its job names.

    Of what happened before it was made a webhook gets nothing: a rebuild tells old ends again.
    """
    addresses = [target for target in event.notify if not is_webhook_id(target)]
    for receiver in receivers:
        if event.at_ms < receiver.created_ms:
            continue
        if receiver.is_default:
            urls = addresses if receiver.takes(event.type, None) else []
            yield from (make_message(event, receiver, url) for url in urls)
        elif receiver.takes(event.type, None if receiver.id in event.notify else event.labels):
            yield make_message(event, receiver)
