"""What clients ask about deliveries: listed, tested, sent again. Knows no HTTP."""

import secrets
from typing import Any

from jobs.errors import NoSuchDelivery, NoSuchWebhook, WebhookDisabled
from jobs.ids import is_message_id, make_message_id
from jobs.store import keys
from jobs.store.connection import Store, read_clock_ms
from jobs.store.cursor import IndexCursor, Page
from jobs.store.page_budget import PageBudget, read_hashes
from jobs.store.scripts import Scripts
from jobs.webhooks.delivery import DeliveryInfo, parse_delivery
from jobs.webhooks.event import encode_body
from jobs.webhooks.webhook import TEST_EVENT, WebhookInfo


class Deliveries:
    """Reads deliveries of webhooks that exist, and asks for more."""

    def __init__(self, store: Store) -> None:
        self._store, self._scripts = store, Scripts(store)

    def get(self, tenant: str, webhook_id: str, message_id: str) -> DeliveryInfo:
        """Read one delivery. Raises NoSuchDelivery."""
        record: Any = {}
        if is_message_id(message_id):
            record = self._store.hgetall(keys.webhook_message(tenant, webhook_id, message_id))
        if not record:
            raise NoSuchDelivery(message_id)
        return parse_delivery(record)

    def read_page(
        self, tenant: str, webhook_id: str, *, limit: int, after: str | None, descending: bool
    ) -> Page[str]:
        """Read a page of a webhook's deliveries as JSON. Raises BadCursor.

        It ends early where the messages have more than MAX_PAGE_BYTES together.
        """
        name = keys.webhook_messages(tenant, webhook_id)
        cursor = IndexCursor(self._store, name, after, descending)
        members, texts, budget, examined = cursor.read_next(limit + 1), [], PageBudget(limit), 0
        names = [
            keys.webhook_message(tenant, webhook_id, message.decode())
            for message, _ in members[:limit]
        ]
        for record in read_hashes(self._store, names, "body"):
            examined += 1
            if record:
                texts.append(parse_delivery(record).model_dump_json())
                budget.spend(texts[-1])
            if budget.is_spent:
                break
        next_after = str(int(members[examined - 1][1])) if examined < len(members) else None
        return Page(texts, next_after)

    def send_test(self, tenant: str, webhook: WebhookInfo) -> DeliveryInfo:
        """Have a message `webhook.test` sent, once. Raises NoSuchWebhook."""
        message_id = make_message_id(webhook.id, TEST_EVENT, secrets.token_hex(16))
        data = {"id": webhook.id, "name": webhook.name}
        now_ms = read_clock_ms(self._store)
        body = encode_body(message_id, TEST_EVENT, now_ms, data, webhook.format)
        header = {"id": message_id, "event": TEST_EVENT}
        return self._send(tenant, webhook.id, message_id, header, body)

    def redeliver(self, tenant: str, webhook_id: str, message_id: str) -> DeliveryInfo:
        """Have a message sent again; if it waits, at once, the earlier ones of its job before it.

        Raises NoSuchWebhook, NoSuchDelivery or WebhookDisabled.
        """
        if not is_message_id(message_id):
            raise NoSuchDelivery(message_id)
        return self._send(tenant, webhook_id, message_id, {"message": message_id})

    def _send(
        self, tenant: str, webhook_id: str, message_id: str, header: dict[str, Any], *body: bytes
    ) -> DeliveryInfo:
        header = {**header, "member": keys.job_member(tenant, webhook_id)}
        answer, *rest = self._scripts.call("webhook_send", header, *body)
        if answer == b"gone":
            raise NoSuchWebhook(webhook_id)
        if answer == b"no message":
            raise NoSuchDelivery(message_id)
        if answer == b"disabled":
            raise WebhookDisabled(f"it is disabled: {rest[0].decode()}; enable it first")
        return self.get(tenant, webhook_id, message_id)
