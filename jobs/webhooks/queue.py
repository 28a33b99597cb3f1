"""The sender's side of the store: its lease, what is due, and how tries went."""

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.errors import LeaseLost
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import Scripts
from jobs.webhooks.webhook import Receiver, parse_receiver

MAX_DUE_WEBHOOKS = 1000  # looked at in one round
Outcome = Literal["delivered", "again", "failed", "closed"]


@dataclass(frozen=True)
class DueLane:
    """A lane whose first message is due."""

    member: str  # of its webhook: <tenant>/<webhook id>
    lane: str
    message_id: str

    @property
    def tenant(self) -> str:
        """Whose webhook it is."""
        return keys.split_member(self.member)[0]


@dataclass(frozen=True)
class DueWork:
    """What there is to do by the store's clock, in ms: tenants to fan out, lanes to serve."""

    now_ms: int
    tenants: Sequence[str]
    lanes: Sequence[DueLane]


@dataclass(frozen=True)
class DueMessage:
    """One message to send: where, what, as which try."""

    lane: DueLane
    receiver: Receiver
    url: str
    event: str
    body: bytes
    attempt: int  # failed tries so far
    first_ms: int | None  # of the first try
    is_test: bool


@dataclass(frozen=True)
class TryResult:
    """How a try went, for `webhook_report.lua`; `disable`: why the webhook gets nothing more."""

    lane: DueLane
    outcome: Outcome
    sent_ms: int
    code: int | None = None
    error: str | None = None
    delay_ms: int | None = None
    disable: str | None = None

    def header(self) -> dict[str, Any]:
        """Return the fields of the script's header."""
        fields = {
            "member": self.lane.member, "message": self.lane.message_id, "outcome": self.outcome,
            "sent_ms": self.sent_ms, "code": self.code, "error": self.error,
            "delay_ms": self.delay_ms, "disable": self.disable,
        }  # fmt: skip
        return {name: value for name, value in fields.items() if value is not None}


class DeliveryQueue:
    """What the one sender does in the store. Its scripts check the lease themselves."""

    def __init__(self, store: Store, lease_seconds: float) -> None:
        self._store, self._scripts = store, Scripts(store)
        self._lease_ms, self.nonce = int(1000 * lease_seconds), secrets.token_hex(16)

    def hold_lease(self) -> bool:
        """Become or stay the one sender; return whether this is it."""
        header = {"nonce": self.nonce, "lease_ms": self._lease_ms}
        return self._scripts.call("webhook_lease", header)[0] == b"held"

    def release_lease(self) -> None:
        """Let another be the sender at once."""
        self._scripts.call("webhook_lease", {"nonce": self.nonce, "release": True})

    def read_due(self, max_lanes: int) -> DueWork:
        """Read what is due: of each webhook at most so many lanes."""
        header = {"max_webhooks": MAX_DUE_WEBHOOKS, "max_lanes": max_lanes}
        now_ms, tenants, *lanes = _any(self._scripts.call("webhook_due", header))
        due = [DueLane(*(part.decode() for part in lane)) for lane in lanes]
        return DueWork(int(now_ms), sorted(tenant.decode() for tenant in tenants), due)

    def read_messages(self, lanes: Collection[DueLane], now_ms: int) -> Iterator[DueMessage]:
        """Read the messages of lanes; those that are gone by now are left out."""
        with self._store.pipeline(transaction=False) as pipe:
            for lane in lanes:
                name = keys.split_member(lane.member)
                pipe.hgetall(keys.webhook(*name))
                pipe.hgetall(keys.webhook_message(*name, lane.message_id))
            records: Any = pipe.execute()
        for lane, record, message in zip(lanes, records[::2], records[1::2], strict=True):
            if record and message.get(b"status") == b"waiting":
                yield _parse_parcel(lane, parse_receiver(record, now_ms), message)

    def report(self, results: Sequence[TryResult]) -> list[str]:
        """Record results; return the members of webhooks that were disabled by them.

        Raises LeaseLost where another is the sender now: it tries what this one has tried.
        """
        header = {"nonce": self.nonce, "tries": [result.header() for result in results]}
        answer, *disabled = self._scripts.call("webhook_report", header)
        if answer == b"fenced":
            raise LeaseLost("another worker sends to webhooks now")
        return [member.decode() for member in disabled]


def _parse_parcel(lane: DueLane, receiver: Receiver, message: dict[bytes, bytes]) -> DueMessage:
    return DueMessage(
        lane=lane,
        receiver=receiver,
        url=message.get(b"url", b"").decode() or receiver.url,
        event=message[b"event"].decode(),
        body=message[b"body"],
        attempt=int(message[b"attempt"]),
        first_ms=int(message[b"first_ms"]) if b"first_ms" in message else None,
        is_test=b"is_test" in message,
    )


def _any(reply: Any) -> Any:
    return reply
