"""What clients ask of webhooks: to make, read, change and delete them.

A change is archived before it returns. A secret is shown once, when it is made. Knows no HTTP.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.archive.webhooks import WebhookArchive
from jobs.errors import DiskUnavailable, NoSuchWebhook, StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.ids import is_webhook_id, new_webhook_id
from jobs.queries.notified_webhooks import find_default_id
from jobs.store import keys
from jobs.store.connection import Store, read_clock_ms
from jobs.store.cursor import IndexCursor, Page
from jobs.store.scripts import Scripts, check_idempotency, check_quota
from jobs.tenant_secrets import tenant_secret
from jobs.webhooks.sealing import seal
from jobs.webhooks.signature import make_secret
from jobs.webhooks.webhook import ANY_EVENT, Format, WebhookInfo, parse_info

DEFAULT = "default"  # in the place of an id: the tenant's own webhook
MAX_WEBHOOKS = 100  # of one tenant, its own one included
SECRET_OVERLAP_MS = 24 * 3_600_000  # that the secret before signs beside a new one
BY_OWNER = "by its owner"


@dataclass(frozen=True)
class NewWebhook:
    """What a webhook is to be."""

    url: str
    events: Sequence[str]
    labels: Mapping[str, str]
    name: str
    format: Format


@dataclass(frozen=True)
class WebhookResult:
    """A webhook; with its secret only if this request made the secret."""

    info: WebhookInfo
    secret: str | None


class Webhooks:
    """Changes webhooks for clients. A method that names one raises NoSuchWebhook without it.

    Any method that changes something may raise StoreFull, DiskUnavailable or NotArchived.
    """

    def __init__(self, store: Store, artifacts: ArtifactStore) -> None:
        self._store, self._scripts = store, Scripts(store)
        self._archive = WebhookArchive(store, artifacts)

    def create(
        self,
        tenant: str,
        new: NewWebhook,
        *,
        idempotency_key: str | None = None,
        body_digest: str = "",
    ) -> WebhookResult:
        """Store a webhook, or find the one of this idempotency key.

        Raises IdempotencyMismatch, IdempotentResultDeleted or QuotaExceeded.
        """
        fields = {"url": new.url, "name": new.name, "format": new.format}
        fields |= {"events": json.dumps(new.events), "labels": json.dumps(new.labels)}
        known = {"idempotency_key": idempotency_key, "body_digest": body_digest or "-"}
        return self._make(tenant, {**fields, **known})

    def get_default(self, tenant: str) -> WebhookResult:
        """Read the tenant's own webhook, which signs what bare addresses get; make it at first."""
        if (webhook_id := self.find_default_id(tenant)) is not None:
            return WebhookResult(self.get(tenant, webhook_id), None)
        fields = {"name": "", "format": "standard", "labels": "{}", "is_default": True}
        return self._make(tenant, {**fields, "events": json.dumps([ANY_EVENT])})

    def find_default_id(self, tenant: str) -> str | None:
        """Return the id of the tenant's own webhook, if it has been made."""
        return find_default_id(self._store, tenant)

    def get(self, tenant: str, webhook_id: str) -> WebhookInfo:
        """Read a webhook."""
        webhooks = self._parse(tenant, [self._read(tenant, webhook_id)])
        return webhooks[0]

    def exists(self, tenant: str, webhook_id: str) -> bool:
        """Whether the tenant has this webhook."""
        return bool(self._store.exists(keys.webhook(tenant, webhook_id)))

    def read_page(
        self, tenant: str, *, limit: int, after: str | None, descending: bool
    ) -> Page[WebhookInfo]:
        """List a tenant's webhooks by creation time. Raises BadCursor."""
        cursor = IndexCursor(self._store, keys.webhook_index(tenant), after, descending)
        page = cursor.read_records(lambda name: keys.webhook(tenant, name), limit)
        return Page(self._parse(tenant, page.data), page.next_after)

    def change(
        self,
        tenant: str,
        webhook_id: str,
        changes: Mapping[str, str],
        *,
        enabled: bool | None = None,
        rotate: bool = False,
    ) -> WebhookResult:
        """Change fields of a webhook's record, enable or disable it, or make a new secret."""
        self._read(tenant, webhook_id)
        secret = make_secret() if rotate else None
        header = {
            "member": keys.job_member(tenant, webhook_id),
            "set": dict(changes),
            "enable": enabled or None,
            "disable": BY_OWNER if enabled is False else None,
            "overlap_ms": SECRET_OVERLAP_MS,
        }
        with self._archive.reserve_change() as reservation:
            sealed = [self._seal(tenant, webhook_id, secret)] if secret else []
            if self._scripts.call("webhook_patch", header, *sealed)[0] == b"gone":
                raise NoSuchWebhook(webhook_id)
            self._archive.save_change(tenant, webhook_id, reservation)
        return WebhookResult(self.get(tenant, webhook_id), secret)

    def delete(self, tenant: str, webhook_id: str) -> None:
        """Delete a webhook with all its deliveries."""
        if not is_webhook_id(webhook_id):
            raise NoSuchWebhook(webhook_id)
        with self._archive.reserve_change() as reservation:
            header = {"member": keys.job_member(tenant, webhook_id)}
            answer = self._scripts.call("webhook_delete", header)[0]
            # perhaps of an earlier try that was cut short
            is_archived = self._archive.save_tombstone(tenant, webhook_id, reservation)
        if answer == b"gone" and not is_archived:
            raise NoSuchWebhook(webhook_id)

    def _make(self, tenant: str, fields: dict[str, Any]) -> WebhookResult:
        webhook_id, secret = new_webhook_id(), make_secret()
        header = {"tenant": tenant, "id": webhook_id, "max_webhooks": MAX_WEBHOOKS, **fields}
        with self._archive.reserve() as reservation:
            sealed = self._seal(tenant, webhook_id, secret)
            answer, *rest = self._scripts.call("webhook_make", header, sealed)
            check_idempotency(answer, fields.get("idempotency_key"))
            check_quota(answer, rest)
            try:
                self._archive.save(tenant, rest[0].decode(), reservation)
            except (StoreFull, DiskUnavailable):
                if answer == b"new":  # nobody has its secret
                    self._withdraw(tenant, webhook_id)
                raise
        info = self.get(tenant, rest[0].decode())
        return WebhookResult(info, secret if answer == b"new" else None)

    def _seal(self, tenant: str, webhook_id: str, secret: str) -> bytes:
        key = tenant_secret(self._store, tenant)
        self._archive.save_secret(tenant)  # without it the seal could not be opened again
        return seal(key, secret, webhook_id)

    def _withdraw(self, tenant: str, webhook_id: str) -> None:
        """Remove a webhook that was just made, as if it had never been."""
        header = {"member": keys.job_member(tenant, webhook_id), "is_withdrawn": True}
        self._scripts.call("webhook_delete", header)
        self._archive.discard(tenant, webhook_id)

    def _read(self, tenant: str, webhook_id: str) -> dict[bytes, bytes]:
        record: Any = {}
        if is_webhook_id(webhook_id):
            record = self._store.hgetall(keys.webhook(tenant, webhook_id))
        if not record:
            raise NoSuchWebhook(webhook_id)
        return dict(record)

    def _parse(self, tenant: str, records: Sequence[dict[bytes, bytes]]) -> list[WebhookInfo]:
        """Parse records, with the counts of what waits and of what was dropped."""
        with self._store.pipeline(transaction=False) as pipe:
            pipe.get(keys.webhook_drops(tenant))
            for record in records:
                pipe.zcard(keys.webhook_waiting(tenant, record[b"id"].decode()))
            dropped, *waiting = pipe.execute()
        now_ms = read_clock_ms(self._store)
        return [
            parse_info(record, count, int(dropped or 0), now_ms)
            for record, count in zip(records, waiting, strict=True)
        ]
