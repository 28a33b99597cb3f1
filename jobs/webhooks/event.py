"""Events of jobs as the outbox has them, and the messages that webhooks get of them.

Sends no command. A body is made once, of what the job was then, and sent as these bytes each time.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.ids import is_webhook_id, make_message_id
from jobs.job import BestValidation, JobError
from jobs.store.codec import decode_loss
from jobs.timestamps import format_rfc3339
from jobs.webhooks.webhook import Format, Receiver

LINKS = ("history", "events", "logs", "checkpoints", "attempts", "rows")


@dataclass(frozen=True)
class OutboxEvent:
    """Something that happened to a job, and the job as it was then."""

    entry: str  # its id in the outbox
    type: str
    at_ms: int
    job_id: str
    tick: int
    labels: Mapping[str, str]
    notify: tuple[str, ...]  # of the job's spec
    detail: str  # JSON: what tells it from others of its type and tick; else ""
    data: Mapping[str, Any]


@dataclass(frozen=True)
class WebhookMessage:
    """An event for one receiver; `url` is set where the job's spec names it."""

    receiver: Receiver
    id: str
    lane: str
    url: str
    body: bytes


def parse_event(entry: bytes, fields: Mapping[bytes, bytes]) -> OutboxEvent:
    """Parse an entry of the outbox, as `emit` of lua/prelude.lua wrote it."""
    text = {name.decode(): value.decode() for name, value in fields.items() if name != b"loss"}
    labels: dict[str, str] = json.loads(text["labels"] or "{}")
    best, error = _json(text["best"]), _json(text["error"])
    data = {
        "id": text["id"],
        "name": text["name"],
        "labels": labels,
        "status": text["status"],
        "tick": int(text["tick"]),
        "ticks_total": int(text["ticks_total"]) if text["ticks_total"] else None,
        "loss": decode_loss(fields[b"loss"]),
        "metrics": _json(text["metrics"]) or {},
        "best": best and BestValidation.model_validate(best).model_dump(mode="json"),
        "stopped_by": text["stopped_by"] or None,
        "error": error and JobError.model_validate(error).model_dump(mode="json"),
        "links": _links(text["id"]),
        **(_json(text["detail"]) or {}),
    }
    return OutboxEvent(
        entry.decode(), text["event"], int(text["at"]), text["id"], int(text["tick"]), labels,
        tuple(_json(text["notify"]) or ()), text["detail"], data,
    )  # fmt: skip


def make_messages(event: OutboxEvent, receivers: Sequence[Receiver]) -> list[WebhookMessage]:
    """Make a message for each webhook that takes the event, and each that its job names.

    Of what happened before it was made a webhook gets nothing: a rebuild tells old ends again.
    """
    messages, bodies = list[WebhookMessage](), dict[str, bytes]()  # by the form that they have
    for receiver, url in _find_takers(event, receivers):
        distinct = [part for part in (url, event.detail) if part]
        names = (receiver.id, event.job_id, event.type, str(event.tick))
        message_id, lane = make_message_id(*names, *distinct), event.job_id
        if url:  # an address that fails holds up no other
            lane += "." + hashlib.sha256(url.encode()).hexdigest()[:16]
        # one in the standard's form does not name its message, so it is the same for all
        form = message_id if receiver.format == "cloudevents" else receiver.format
        if form not in bodies:
            bodies[form] = encode_body(
                message_id, event.type, event.at_ms, event.data, receiver.format
            )
        messages.append(WebhookMessage(receiver, message_id, lane, url, bodies[form]))
    return messages


def _find_takers(
    event: OutboxEvent, receivers: Sequence[Receiver]
) -> Iterator[tuple[Receiver, str]]:
    addresses = [target for target in event.notify if not is_webhook_id(target)]
    for receiver in receivers:
        if event.at_ms < receiver.created_ms:
            continue
        if receiver.is_default:
            urls = addresses if receiver.takes(event.type, None) else []
            yield from ((receiver, url) for url in urls)
        elif receiver.takes(event.type, None if receiver.id in event.notify else event.labels):
            yield receiver, ""


def encode_body(
    message_id: str, event_type: str, at_ms: int, data: Mapping[str, Any], form: Format
) -> bytes:
    """Return a body as Standard Webhooks or as CloudEvents 1.0 (structured mode) has it."""
    time = format_rfc3339(at_ms)
    body: dict[str, Any] = {"type": event_type, "timestamp": time, "data": data}
    if form == "cloudevents":
        body = {
            "specversion": "1.0",
            "id": message_id,
            "source": data.get("links", {}).get("self", "/v1/webhooks"),
            "type": event_type,
            "subject": data["id"],
            "time": time,
            "datacontenttype": "application/json",
            "data": data,
        }
    return json.dumps(_finite(body), ensure_ascii=False, separators=(",", ":")).encode()


def content_type(form: str) -> str:
    """Return the media type of a body."""
    return "application/cloudevents+json" if form == "cloudevents" else "application/json"


def _json(text: str) -> Any:
    return json.loads(text) if text else None


def _links(job_id: str) -> dict[str, str]:
    path = f"/v1/jobs/{job_id}"
    return {"self": path, **{part: f"{path}/{part}" for part in LINKS}}


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON has no form for, by null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    is_number = isinstance(value, float)
    return None if is_number and (value != value or abs(value) == float("inf")) else value
