"""The thread in a worker's main process that calls webhooks; of all workers, one at a time does.

It holds one lease in the store, moves events from the outboxes to the webhooks' lanes, sends what
is due, and records how that went. Its position is in the store alone, so another goes on from there
after a crash: what was on its way goes again, with the same id. `python -m workers.webhook_sender`
does nothing else, until SIGTERM.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

from jobs import fault_points, logs
from jobs.archive.webhooks import WebhookArchive
from jobs.background_thread import BackgroundThread
from jobs.errors import DiskUnavailable, LeaseLost, NotArchived, StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.spec.notify import parse_url
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, CommandError, connect
from jobs.tenant_secrets import tenant_secret
from jobs.webhooks.addresses import AddressRules
from jobs.webhooks.delivery import retry_delay
from jobs.webhooks.event import content_type
from jobs.webhooks.fan_out import FanOut
from jobs.webhooks.queue import DeliveryQueue, DueLane, DueMessage, TryResult
from jobs.webhooks.sealing import BrokenSeal
from jobs.webhooks.signature import sign
from jobs.webhooks.webhook import Receiver
from workers.webhook_client import Request, Response, WebhookClient

MAX_IN_FLIGHT = 512  # requests at a time
MAX_IN_FLIGHT_OF_TENANT = 64
MAX_IN_FLIGHT_OF_WEBHOOK = 8
POLL_SECONDS = 0.2  # between two looks for what is due, if nothing comes back before
#: least time between two looks: what came back meanwhile is recorded by one script
MIN_ROUND_SECONDS = 0.02
MAX_RECORDED = 12  # tries by one script, some 0.05 ms each
RETRY_SECONDS = 0.5  # after the store did not answer
GONE = 410


class Sent(NamedTuple):
    """A request that was begun, and what came of it."""

    message: DueMessage
    sent_ms: int
    response: Response


class WebhookSender(BackgroundThread):
    """A context that calls webhooks while it holds the lease."""

    def __init__(self, settings: Settings, worker: str) -> None:
        super().__init__("webhooks", join_seconds=3.0)
        self._store, self._lease_seconds = connect(settings.redis_url), settings.lease_seconds
        self._queue = DeliveryQueue(self._store, settings.lease_seconds)
        self._fan_out = FanOut(self._store, self._queue.nonce)
        self._archive = WebhookArchive(self._store, ArtifactStore(settings.artifacts))
        self._rules = AddressRules(settings.webhook_hosts, settings.webhook_networks)
        self._results: SimpleQueue[Sent] = SimpleQueue()
        self._unrecorded = list[Sent]()  # what came back, while the store does not take it
        self._in_flight: dict[tuple[str, str], DueLane] = {}  # by webhook and lane
        self._renew_at, self._dropped = 0.0, Counter[str]()
        self._tenant_keys = dict[str, bytes]()
        self._secrets = dict[tuple[str, str, tuple[bytes, ...]], list[str]]()
        self._logger = logs.get_logger("webhooks", worker=worker)

    def _run(self) -> None:
        client = WebhookClient(self._rules)
        try:
            while not self._stopped.is_set():
                try:
                    self._take_turn(client)
                except LeaseLost:  # what is on its way here is sent again by the other
                    self._renew_at = 0.0
                except (*UNAVAILABLE, CommandError, StoreFull) as error:
                    self._logger.warning("the store does not take it", error=repr(error))
                    self._stopped.wait(RETRY_SECONDS)
                except Exception as error:  # of ours
                    self._logger.error("calling webhooks failed", error=repr(error), exc_info=error)
                    self._stopped.wait(RETRY_SECONDS)
        finally:
            client.close()
            self._leave()

    def _take_turn(self, client: WebhookClient) -> None:
        if not self._hold_lease():
            self._stopped.wait(self._lease_seconds / 3)
            return
        self._record(self._wait_for_results())
        work = self._queue.read_due(MAX_IN_FLIGHT_OF_WEBHOOK * 2)
        if lanes := list(self._choose(work.lanes)):
            self._send(client, self._queue.read_messages(lanes, work.now_ms), work.now_ms)
        for tenant in work.tenants:
            self._move_events(client, tenant, work.now_ms)

    def _move_events(self, client: WebhookClient, tenant: str, now_ms: int) -> None:
        """Fan out a tenant's events, and send what is due of them; what is not comes later."""
        fault_points.hit("webhooks:fan_out")
        moved = self._fan_out.move_some(tenant, now_ms)
        self._tell_dropped(tenant, moved.dropped)
        lanes = set(self._choose([message.lane for message in moved.due]))
        self._send(client, [due for due in moved.due if due.lane in lanes], now_ms)

    def _hold_lease(self) -> bool:
        """Renew the lease when it is due, or try to get it; return whether it is held."""
        now = time.monotonic()
        if now >= self._renew_at:
            if not self._queue.hold_lease():
                return False
            self._renew_at = now + self._lease_seconds / 3
            self._tenant_keys.clear()  # the store may be another by now
            self._secrets.clear()
        return True

    def _wait_for_results(self) -> list[Sent]:
        """Return what has come back, after a moment in which more may."""
        results = list[Sent]()
        try:
            results.append(self._results.get(timeout=POLL_SECONDS))
            time.sleep(MIN_ROUND_SECONDS)
            while True:
                results.append(self._results.get_nowait())
        except Empty:
            return results

    def _choose(self, lanes: Sequence[DueLane]) -> Iterator[DueLane]:
        """Choose lanes to serve, so that nobody's slow receivers take all places."""
        of_tenant = Counter(lane.tenant for lane in self._in_flight.values())
        of_webhook = Counter(lane.member for lane in self._in_flight.values())
        for lane in lanes:
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return
            is_full = of_tenant[lane.tenant] >= MAX_IN_FLIGHT_OF_TENANT
            is_full |= of_webhook[lane.member] >= MAX_IN_FLIGHT_OF_WEBHOOK
            if is_full or (lane.member, lane.lane) in self._in_flight:
                continue
            of_tenant[lane.tenant] += 1
            of_webhook[lane.member] += 1
            yield lane

    def _send(self, client: WebhookClient, messages: Iterable[DueMessage], sent_ms: int) -> None:
        messages = list(messages)
        requests = [self._make_request(message, sent_ms) for message in messages]
        # from here on nothing fails: what counts as on its way is sent
        for lane in (message.lane for message in messages):
            self._in_flight[lane.member, lane.lane] = lane
        client.send(list(filter(None, requests)))

    def _make_request(self, message: DueMessage, sent_ms: int) -> Request | None:
        """Return a message's request; None, with the try's end noted, where it cannot be sent."""
        receiver = message.receiver
        finish = partial(self._finish, message, sent_ms)
        headers, error = dict[str, str](), None
        if receiver.is_enabled or message.is_test:
            try:
                secrets = self._open_secrets(message.lane.tenant, receiver)
                headers = make_headers(message, secrets, sent_ms // 1000)
                url = parse_url(message.url)
            except (BrokenSeal, ValueError) as broken:
                error = f"it cannot be sent: {broken}"
        if error is not None or not headers:
            finish(Response(None, error))
            return None
        fault_points.hit("webhooks:send")
        return Request(url, headers, message.body, finish)

    def _open_secrets(self, tenant: str, receiver: Receiver) -> list[str]:
        """Return the secrets that sign for a webhook; a sealed one is opened once in a while."""
        sealed = (tenant, receiver.id, receiver.sealed_secrets)
        if sealed not in self._secrets:
            self._secrets[sealed] = receiver.secrets(self._tenant_key(tenant))
        return self._secrets[sealed]

    def _tenant_key(self, tenant: str) -> bytes:
        if tenant not in self._tenant_keys:
            self._tenant_keys[tenant] = tenant_secret(self._store, tenant)
        return self._tenant_keys[tenant]

    def _finish(self, message: DueMessage, sent_ms: int, response: Response) -> None:
        self._results.put(Sent(message, sent_ms, response))

    def _record(self, results: Sequence[Sent]) -> None:
        """Record what came back, a few at a time: requests of clients wait for such a script."""
        self._unrecorded += results
        while some := self._unrecorded[:MAX_RECORDED]:
            fault_points.hit("webhooks:answered")
            tries = list(map(judge, some))
            try:
                disabled = self._queue.report(tries)
            except LeaseLost:
                self._forget(self._unrecorded)
                raise
            fault_points.hit("webhooks:recorded")
            self._forget(some)
            for sent, result in zip(some, tries, strict=True):
                self._log(sent, result)
            self._archive_disabled(disabled)

    def _archive_disabled(self, members: Sequence[str]) -> None:
        for member in members:
            try:
                self._archive.save_change(*keys.split_member(member))
            except (StoreFull, DiskUnavailable, NotArchived) as error:
                self._logger.warning("a disabled webhook is not archived so", error=str(error))

    def _forget(self, recorded: Sequence[Sent]) -> None:
        for sent in recorded:
            self._in_flight.pop((sent.message.lane.member, sent.message.lane.lane), None)
        self._unrecorded = self._unrecorded[len(recorded) :]

    def _log(self, sent: Sent, result: TryResult) -> None:
        lane = sent.message.lane
        log = self._logger.info if result.outcome == "delivered" else self._logger.warning
        log(
            "webhook called" if result.outcome != "closed" else "webhook not called",
            webhook=lane.member, message=lane.message_id, type=sent.message.event,
            outcome=result.outcome, attempt=sent.message.attempt + 1, code=result.code,
            error=result.error,
        )  # fmt: skip

    def _tell_dropped(self, tenant: str, count: int) -> None:
        """Log once how many of a tenant's events were dropped, since nobody sent them."""
        if count > self._dropped[tenant]:
            new = count - self._dropped[tenant]
            self._logger.warning("events dropped before any worker sent them", tenant=tenant, n=new)
        self._dropped[tenant] = count

    def _leave(self) -> None:
        try:
            self._queue.release_lease()
        except Exception as error:  # it runs out by itself
            self._logger.warning("the webhooks' lease is not released", error=repr(error))


def make_headers(message: DueMessage, secrets: Sequence[str], seconds: int) -> dict[str, str]:
    """Return the headers of a message that is sent at this second, signed by each secret."""
    message_id, body = message.lane.message_id, message.body
    return {
        "content-type": content_type(message.receiver.format),
        "content-length": str(len(body)),
        "connection": "close",
        "user-agent": "Tickforge",
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": sign(secrets, message_id, seconds, body),
    }


def judge(sent: Sent) -> TryResult:
    """Decide what follows from an answer: delivered, another try, or the end."""
    message, response = sent.message, sent.response
    lane, is_default = message.lane, message.receiver.is_default
    if not message.receiver.is_enabled and not message.is_test:
        reason = f"the webhook is disabled: {message.receiver.disabled_reason}"
        return TryResult(lane, "closed", sent.sent_ms, error=reason)
    code = response.status
    if code is not None and 200 <= code < 300:
        return TryResult(lane, "delivered", sent.sent_ms, code)
    error = response.error or f"answered {code}"
    if code is not None and 300 <= code < 400:
        error += ": redirects are not followed"
    failed = partial(TryResult, lane, sent_ms=sent.sent_ms, code=code, error=error)
    if message.is_test:
        return failed(outcome="failed")
    if code == GONE:
        return failed(outcome="failed", disable=None if is_default else "it answered 410 (gone)")
    since_first = (sent.sent_ms - (message.first_ms or sent.sent_ms)) / 1000
    delay = retry_delay(message.attempt + 1, since_first)
    if delay is not None:
        return failed(outcome="again", delay_ms=int(1000 * delay))
    reason = f"three days of failed tries, at last: {error}"
    return failed(outcome="failed", disable=None if is_default else reason)


def main() -> None:
    """Call webhooks until SIGTERM; settings come from the environment."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    settings = Settings.from_env(os.environ)
    logs.configure_logging(settings.log_format)
    with WebhookSender(settings, f"sender-{os.getpid()}"):
        stopped.wait()


if __name__ == "__main__":
    main()
