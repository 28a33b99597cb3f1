"""A webhook as its record, as clients see it, and as the sender needs it. Sends no command."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from jobs.timestamps import format_rfc3339
from jobs.webhooks.sealing import unseal

EventType = Literal[
    "job.started", "job.validated", "job.checkpointed", "job.paused",
    "job.succeeded", "job.failed", "job.cancelled", "job.condition",
]  # fmt: skip
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
ANY_EVENT = "*"
TEST_EVENT = "webhook.test"
Format = Literal["standard", "cloudevents"]

Record = Mapping[bytes, bytes]


class WebhookInfo(BaseModel):
    """A webhook as its tenant sees it: without its secrets."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    url: str | None = Field(description="null: the tenant's own, for addresses in `notify`")
    events: list[str] = Field(description='what it is called for; ["*"]: everything')
    labels: dict[str, str] = Field(description="only jobs with all of these")
    format: Format
    enabled: bool
    disabled_reason: str | None = Field(description="why nothing is sent to it any more")
    disabled_at: str | None
    waiting: int = Field(description="deliveries that have not ended")
    dropped: int = Field(description="its oldest deliveries that newer ones have displaced")
    events_dropped: int = Field(
        description="the tenant's oldest events that were dropped, since nothing sent them"
    )
    old_secret_until: str | None = Field(description="until when the secret before signs too")
    created_at: str


@dataclass(frozen=True)
class Receiver:
    """What the sender needs of a webhook."""

    id: str
    url: str  # "" of the tenant's own
    events: tuple[str, ...]
    labels: Mapping[str, str]
    format: Format
    is_default: bool
    is_enabled: bool
    disabled_reason: str
    created_ms: int
    sealed_secrets: tuple[bytes, ...]  # those that sign now

    def secrets(self, key: bytes) -> list[str]:
        """Return the secrets that sign now, by the tenant's `key`. Raises BrokenSeal."""
        return [unseal(key, sealed, self.id) for sealed in self.sealed_secrets]

    def takes(self, event: str, labels: Mapping[str, str] | None) -> bool:
        """Whether it is called for an event of a job with these labels; None: of any."""
        if ANY_EVENT not in self.events and event not in self.events:
            return False
        return labels is None or self.labels.items() <= labels.items()


def parse_info(record: Record, waiting: int, events_dropped: int, now_ms: int) -> WebhookInfo:
    """Parse a record and the two counts that are not in it."""
    old_until = int(record.get(b"old_until_ms", b"0"))
    return WebhookInfo(
        id=record[b"id"].decode(),
        name=record[b"name"].decode(),
        url=record[b"url"].decode() or None,
        events=json.loads(record[b"events"]),
        labels=json.loads(record[b"labels"]),
        format=_format(record),
        enabled=record[b"enabled"] == b"1",
        disabled_reason=_text(record, b"disabled_reason"),
        disabled_at=_time(record, b"disabled_ms"),
        waiting=waiting,
        dropped=int(record.get(b"dropped", b"0")),
        events_dropped=events_dropped,
        old_secret_until=format_rfc3339(old_until) if old_until > now_ms else None,
        created_at=format_rfc3339(int(record[b"created_ms"])),
    )


def parse_receiver(record: Record, now_ms: int) -> Receiver:
    """Parse a record as the sender needs it now."""
    secrets = [record[b"secret"]]
    if int(record.get(b"old_until_ms", b"0")) > now_ms:
        secrets.append(record[b"old_secret"])
    return Receiver(
        id=record[b"id"].decode(),
        url=record[b"url"].decode(),
        events=tuple(json.loads(record[b"events"])),
        labels=json.loads(record[b"labels"]),
        format=_format(record),
        is_default=b"is_default" in record,
        is_enabled=record[b"enabled"] == b"1",
        disabled_reason=record.get(b"disabled_reason", b"").decode(),
        created_ms=int(record[b"created_ms"]),
        sealed_secrets=tuple(secrets),
    )


def _format(record: Record) -> Any:
    return record[b"format"].decode()


def _text(record: Record, name: bytes) -> str | None:
    return record[name].decode() if name in record else None


def _time(record: Record, name: bytes) -> str | None:
    return format_rfc3339(int(record[name])) if name in record else None
