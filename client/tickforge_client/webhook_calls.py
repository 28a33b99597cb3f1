"""Webhooks: made, changed, tested, and what became of their deliveries. Prints nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tickforge_client.client_parts import PAGE_ENTRIES, ClientParts, DatasetT, JobT
from tickforge_client.paths import api_path

Json = dict[str, Any]


class WebhookCalls(ClientParts[JobT, DatasetT]):
    """The calls about webhooks; a webhook and a delivery are the server's JSON."""

    def webhooks(self) -> AsyncIterator[Json]:
        """Yield the webhooks, newest first, without their secrets."""
        return self.session.iter_entries(api_path("webhooks"), {"limit": PAGE_ENTRIES})

    async def create_webhook(
        self,
        url: str,
        events: Sequence[str] = ("*",),
        *,
        labels: Mapping[str, str] | None = None,
        name: str = "",
        format: str = "standard",
    ) -> Json:
        """Create a webhook; only this response ever contains its `secret`.

        `events` are names such as "job.succeeded", or "*" for all. `format` is "standard" or
        "cloudevents". If the response with the secret was lost, the webhook gets another one.
        """
        body = {"url": url, "events": list(events), "labels": dict(labels or {}), "name": name}
        created = await self.session.create(api_path("webhooks"), {**body, "format": format})
        if "secret" in created:
            return created
        return await self.session.patch(api_path("webhooks", created["id"]), {"rotate": True})

    async def webhook(self, webhook_id: str) -> Json:
        """Return a webhook; "default" is the tenant's own. Raises NotFound."""
        return await self.session.get(api_path("webhooks", webhook_id))

    async def update_webhook(self, webhook_id: str, /, **changes: Any) -> Json:
        """Set `url`, `events`, `labels`, `name`, `format` or `enabled`; return it as changed."""
        return await self.session.patch(api_path("webhooks", webhook_id), changes)

    async def rotate_webhook(self, webhook_id: str) -> Json:
        """Make a new `secret`, and return the webhook with it; the old one signs for 24 h more."""
        return await self.session.patch(api_path("webhooks", webhook_id), {"rotate": True})

    async def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries: what waits is not sent."""
        await self.session.delete(api_path("webhooks", webhook_id))

    async def test_webhook(self, webhook_id: str) -> Json:
        """Have a message of type webhook.test sent; return its delivery."""
        return await self.session.post(api_path("webhooks", webhook_id, "test"))

    def deliveries(self, webhook_id: str) -> AsyncIterator[Json]:
        """Yield the deliveries of a webhook, newest first: those of three days."""
        path = api_path("webhooks", webhook_id, "deliveries")
        return self.session.iter_entries(path, {"limit": PAGE_ENTRIES})

    async def redeliver(self, webhook_id: str, message_id: str) -> Json:
        """Have a message sent again, with the same id and body; return its delivery."""
        path = api_path("webhooks", webhook_id, "deliveries", message_id, "redeliver")
        return await self.session.post(path)
