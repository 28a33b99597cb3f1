"""The thread in a worker's main process that has answers computed: predicts of rows and prompts.

It claims answers, drives one answering process, and writes what comes of them. So an answer never
waits behind a training. Several answers may be in work: long ones advance in turns, a slice of a
tenth of a second each, and a short one is taken between two slices.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from jobs import logs
from jobs.answers.ledger import AnswerClaim, AnswerLeases
from jobs.background_thread import BackgroundThread
from jobs.backoff import Backoff
from jobs.errors import LeaseLost, NotFound, StoreFull
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.queries.jobs import JobQueries
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, CommandError, connect
from jobs.trainer_frames import Frame
from workers.answering_process import PROCESS_ERRORS, AnsweringProcess
from workers.forkserver_client import ForkServerUnavailable
from workers.store_retry import StoreUnavailable, retry_while_unavailable
from workers.worker_folder import WorkerConfig

MAX_OPEN = 16  # answers in work at a time
WAIT_SECONDS = 0.5  # for a wake-up, and so for the end of the thread
LOOK_SECONDS = 2.0  # a wake-up may get lost: look for answers this often without one
RETRY_SECONDS = 0.5  # after the store did not answer
MAX_RENEW_SECONDS = 1.0  # also until a cancel is seen
#: seconds before a process that died is started again, doubled up to the longest
INITIAL_RESTART_SECONDS, MAX_RESTART_SECONDS = 0.1, 5.0
#: errors of files that are as they are: another attempt would meet them again
LASTING_ERRORS = ("DamagedNet", "DamagedDataset", "FileNotFoundError")


class Stopping(Exception):
    """The worker leaves."""


class OpenAnswer:
    """A claimed answer in work."""

    def __init__(self, claim: AnswerClaim) -> None:
        self.claim, self.renewed_at = claim, time.monotonic()
        self.is_started = self.is_cancelled = self.is_lost = False


class AnswerDriver(BackgroundThread):
    """A context that answers beside whatever the worker trains."""

    def __init__(self, config: WorkerConfig) -> None:
        super().__init__("answers", join_seconds=2.0)
        self._config, settings = config, config.settings
        self._store = connect(settings.redis_url)
        self._leases = AnswerLeases(self._store, settings.lease_seconds)
        self._renew_seconds = min(MAX_RENEW_SECONDS, settings.lease_seconds / 3)
        self._files, self._queries = ArtifactStore(settings.artifacts), JobQueries(self._store)
        self._process = AnsweringProcess(
            config.worker_folder.socket_path, settings.stall_seconds, self._on_wait
        )
        self._backoff = Backoff(INITIAL_RESTART_SECONDS, MAX_RESTART_SECONDS)
        self._open: OrderedDict[str, OpenAnswer] = OrderedDict()
        self._busy_at = self._looked_at = time.monotonic()
        self._logger = logs.get_logger("answers", worker=config.name)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    self._take_turn()
                except (*UNAVAILABLE, CommandError, StoreFull, StoreUnavailable) as error:
                    self._logger.warning("the store does not take it", error=repr(error))
                    self._stopped.wait(RETRY_SECONDS)
                except Exception as error:  # of ours: what is in work is given back and goes on
                    self._logger.error("answering failed", error=repr(error), exc_info=error)
                    self._restart(f"the worker failed: {error!r}")
        except Stopping:
            pass
        finally:
            self._process.close()
            self._give_all_back("drain")

    def _take_turn(self) -> None:
        """Take an answer if there is one, and do a slice of one that is in work."""
        if self._open or self._is_work_expected():
            self._claim_one()
        self._renew_leases()
        self._drop_ended()
        if self._open:
            self._advance(next(iter(self._open.values())))

    def _is_work_expected(self) -> bool:
        """Wait for a wake-up; return whether to look for an answer."""
        now = time.monotonic()
        if now - self._busy_at > self._config.settings.answer_seconds:
            self._process.close()
        is_awake = self._store.blpop([keys.ANSWER_WAKEUPS], WAIT_SECONDS) is not None
        return is_awake or now - self._looked_at > LOOK_SECONDS

    def _claim_one(self) -> None:
        self._looked_at = time.monotonic()
        if len(self._open) < MAX_OPEN and (claim := self._leases.claim(self._config.name)):
            self._open[claim.answer_id] = OpenAnswer(claim)
            self._open.move_to_end(claim.answer_id, last=False)

    def _advance(self, work: OpenAnswer) -> None:
        """Do a slice of an answer."""
        claim, self._busy_at = work.claim, time.monotonic()
        try:
            self._process.start(may_retry=lambda: not self._stopped.is_set())
            if work.is_started:
                reply = self._process.ask("continue", {"work": claim.answer_id})
            else:
                reply = self._process.ask("predict", self._make_command(claim))
            work.is_started = True
        except (*PROCESS_ERRORS, ForkServerUnavailable) as error:
            self._on_dead_process(work, f"the answering process ended: {error}")
            return
        self._backoff.reset()
        self._handle(work, reply)

    def _make_command(self, claim: AnswerClaim) -> dict[str, object]:
        checkpoint = claim.checkpoint
        folder = checkpoint_folders.folder_path(self._files, claim.tenant, claim.parent, checkpoint)
        digests = {file.name: file.sha256 for file in checkpoint.files}
        return {
            "work": claim.answer_id,
            "checkpoint": {
                "folder": str(folder),
                "config_sha256": digests.get("config.json"),
                "weights_sha256": digests.get(checkpoint_folders.WEIGHTS_FILE),
            },
            "threads": claim.threads,
            "memory_bytes": self._config.settings.answer_memory_bytes,
            "request": claim.request,
        }

    def _handle(self, work: OpenAnswer, reply: Frame) -> None:
        claim, header = work.claim, reply.header
        if reply.kind == "answered":
            self._end(work, lambda: self._leases.succeed(claim, header["result"]))
        elif reply.kind == "refused":
            detail = "; ".join(map(_describe_error, header["errors"]))
            self._end(work, lambda: self._leases.fail(claim, "invalid-input", detail))
        elif reply.kind == "failed":
            self._on_failure(work, header["type"], header["detail"])
        else:
            assert reply.kind == "unfinished", f"{reply.kind} answers a predict"
            self._open.move_to_end(claim.answer_id)

    def _on_failure(self, work: OpenAnswer, kind: str, detail: str) -> None:
        """End an answer whose files could not be used, or give it back."""
        claim, tick = work.claim, work.claim.checkpoint.tick
        try:
            self._queries.get_checkpoint(claim.tenant, claim.parent, str(tick))
        except NotFound:
            detail = f"the checkpoint of tick {tick} was deleted before its net had answered"
            self._end(work, lambda: self._leases.fail(claim, "checkpoint-gone", detail))
            return
        if kind in LASTING_ERRORS:
            self._end(work, lambda: self._leases.fail(claim, "damaged", f"{kind}: {detail}"))
        else:
            self._end(work, lambda: self._leases.give_back(claim, f"{kind}: {detail}"))

    def _on_dead_process(self, work: OpenAnswer, reason: str) -> None:
        """Give back the answer in whose slice the process died; the others begin again."""
        self._logger.warning("an answer's process ended", job=work.claim.answer_id, reason=reason)
        self._process.close()
        for other in self._open.values():
            other.is_started = False
        self._end(work, lambda: self._leases.give_back(work.claim, reason))
        self._stopped.wait(self._backoff.next_delay())

    def _end(self, work: OpenAnswer, write: Callable[[], object]) -> None:
        """Write what came of an answer, for as long as the store does not take it."""
        del self._open[work.claim.answer_id]
        with suppress(LeaseLost):  # it has expired, or is another worker's by now
            retry_while_unavailable(write, lambda: not self._stopped.is_set())

    def _renew_leases(self) -> None:
        now = time.monotonic()
        for work in self._open.values():
            if now - work.renewed_at < self._renew_seconds:
                continue
            try:
                work.is_cancelled = self._leases.renew(work.claim) == "cancel"
                work.renewed_at = now
            except LeaseLost:
                work.is_lost = True

    def _drop_ended(self) -> None:
        """Forget answers that were cancelled, or are another worker's."""
        for work in [work for work in self._open.values() if work.is_cancelled or work.is_lost]:
            if work.is_started and self._process.is_started:
                with suppress(*PROCESS_ERRORS):
                    self._process.ask("drop", {"work": work.claim.answer_id})
            if work.is_lost:
                del self._open[work.claim.answer_id]
            else:
                self._end(work, partial(self._leases.end_cancelled, work.claim))

    def _on_wait(self) -> None:
        """Keep the leases while the process computes. Raises Stopping when the worker leaves."""
        if self._stopped.is_set():
            raise Stopping
        with suppress(*UNAVAILABLE, StoreFull):
            self._renew_leases()

    def _restart(self, reason: str) -> None:
        self._process.close()
        self._give_all_back(reason)
        self._stopped.wait(self._backoff.next_delay())

    def _give_all_back(self, reason: str) -> None:
        for work in list(self._open.values()):
            del self._open[work.claim.answer_id]
            with suppress(LeaseLost, *UNAVAILABLE, StoreFull):  # its lease runs out
                self._leases.give_back(work.claim, reason)


def _describe_error(error: dict[str, object]) -> str:
    """Return a refused field, its value and the rule in one sentence."""
    return f"{error['pointer'] or 'the body'}: {error['detail']} (not {error['value']!r})"
