"""A thread in a worker's main process that has answers computed: predictions and evaluations.

It claims them, drives one answering process, and writes what comes of them. So an answer never
waits behind a training. Several answers may be in work: long ones advance in turns, a slice of a
tenth of a second each, and a short one is taken between two slices. Exports have a thread and a
process of their own (workers/answer_claims.py), since they take seconds of which nothing else is
done.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from jobs import logs
from jobs.background_thread import BackgroundThread
from jobs.backoff import Backoff
from jobs.errors import LeaseLost, NotFound, StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.queries.jobs import JobQueries
from jobs.store.connection import UNAVAILABLE, CommandError, connect
from jobs.trainer_frames import Frame
from workers.answer_claims import AnswerClaims, ExportClaims
from workers.answering_process import PROCESS_ERRORS, AnsweringProcess
from workers.forkserver_client import ForkServerUnavailable
from workers.open_answers import OpenAnswer, checkpoint_files
from workers.store_retry import StoreUnavailable, retry_while_unavailable
from workers.worker_folder import WorkerConfig

WAIT_SECONDS = 0.5  # for a wake-up, and so for the end of the thread
LOOK_SECONDS = 2.0  # a wake-up may get lost: look for answers this often without one
RETRY_SECONDS = 0.5  # after the store did not answer
MAX_RENEW_SECONDS = 1.0  # also until a cancel is seen
#: seconds before a process that died is started again, doubled up to the longest
INITIAL_RESTART_SECONDS, MAX_RESTART_SECONDS = 0.1, 5.0
#: errors that another attempt would meet again, and the type that clients are told
LASTING_ERRORS = {
    **dict.fromkeys(("DamagedNet", "DamagedDataset", "WrongText", "FileNotFoundError"), "damaged"),
    "ResultTooLarge": "result-too-large",
    "DiskFull": "disk-full",
}


class Stopping(Exception):
    """The worker leaves."""


class AnswerDriver(BackgroundThread):
    """A context that answers beside whatever the worker trains."""

    def __init__(
        self, config: WorkerConfig, claims_class: type[AnswerClaims | ExportClaims] = AnswerClaims
    ) -> None:
        """Do what `claims_class` claims."""
        super().__init__("answers", join_seconds=2.0)
        self._config, settings = config, config.settings
        self._store = connect(settings.redis_url)
        self._renew_seconds = min(MAX_RENEW_SECONDS, settings.lease_seconds / 3)
        self._files, self._queries = ArtifactStore(settings.artifacts), JobQueries(self._store)
        self._claims = claims_class(self._store, self._files, config)
        self._process = AnsweringProcess(
            config.worker_folder.socket_path, self._claims.stall_seconds, self._on_wait
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
                except Stopping:  # no fault of what is in work: it goes back as of a drain
                    break
                except (*UNAVAILABLE, CommandError, StoreFull, StoreUnavailable) as error:
                    self._logger.warning("the store does not take it", error=repr(error))
                    self._stopped.wait(RETRY_SECONDS)
                except Exception as error:  # of ours: what is in work is given back
                    self._logger.error("answering failed", error=repr(error), exc_info=error)
                    self._restart(f"the worker failed: {error!r}")
        finally:
            self._process.close()
            self._give_all_back("drain")

    def _take_turn(self) -> None:
        """Begin an answer if there is a new one, and do a slice of the one that waits longest."""
        newest = self._claim_one() if self._open or self._is_work_expected() else None
        self._renew_leases()
        self._drop_ended()
        if newest is not None and newest.id in self._open:
            self._advance(newest)
        if self._open:  # long ones advance however many new ones come
            self._advance(next(iter(self._open.values())))
        elif not self._claims.keeps_process:
            self._process.close()

    def _is_work_expected(self) -> bool:
        """Wait for a wake-up; return whether to look for an answer."""
        now = time.monotonic()
        if now - self._busy_at > self._config.settings.answer_seconds:
            self._process.close()
        is_awake = self._store.blpop([self._claims.wakeups], WAIT_SECONDS) is not None
        return is_awake or now - self._looked_at > LOOK_SECONDS

    def _claim_one(self) -> OpenAnswer | None:
        """Claim what is next, if anything is."""
        now = time.monotonic()
        if is_due := not self._open or now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
        answer = self._claims.claim(self._open.values(), is_long_one_due=is_due)
        if answer is not None:
            self._open[answer.id] = answer
        return answer

    def _advance(self, answer: OpenAnswer) -> None:
        """Do a slice of an answer, unless it is cancelled or lost: the next turn drops it."""
        if _is_over(answer):
            return
        self._busy_at = time.monotonic()
        try:
            self._process.start(self._may_wait)
            header: dict[str, Any] = {"work": answer.id}
            command = "continue"
            if not answer.is_started:
                header["checkpoint"] = checkpoint_files(self._files, answer)
                header["memory_bytes"] = self._config.settings.answer_memory_bytes
                command, header = answer.command(header)
            reply = self._process.ask(command, header)
            answer.is_started = True
        except (*PROCESS_ERRORS, ForkServerUnavailable) as error:
            self._on_dead_process(answer, f"the answering process ended: {error}")
            return
        self._backoff.reset()
        self._handle(answer, reply)

    def _handle(self, answer: OpenAnswer, reply: Frame) -> None:
        header = reply.header
        if reply.kind == "answered":
            self._end(answer, partial(answer.succeed, header["result"]))
        elif reply.kind == "refused":
            detail = "; ".join(map(_describe_error, header["errors"]))
            self._end(answer, partial(answer.fail, "invalid-input", detail))
        elif reply.kind == "failed":
            self._on_failure(answer, header["type"], header["detail"])
        else:
            assert reply.kind == "unfinished", f"{reply.kind} answers a predict"
            answer.progress = (header["done"], header["total"])
            self._open.move_to_end(answer.id)

    def _on_failure(self, answer: OpenAnswer, kind: str, detail: str) -> None:
        """End an answer whose files could not be used, or give it back."""
        tick = answer.checkpoint.tick
        try:
            self._queries.get_checkpoint(answer.tenant, answer.parent, str(tick))
        except NotFound:
            detail = f"the checkpoint of tick {tick} was deleted before its net had answered"
            self._end(answer, partial(answer.fail, "checkpoint-gone", detail))
            return
        if kind in LASTING_ERRORS:
            self._end(answer, partial(answer.fail, LASTING_ERRORS[kind], f"{kind}: {detail}"))
        else:
            self._end(answer, partial(answer.give_back, f"{kind}: {detail}"))

    def _on_dead_process(self, answer: OpenAnswer, reason: str) -> None:
        """Give back the answer in whose slice the process died; the others begin again."""
        self._logger.warning("an answer's process ended", job=answer.id, reason=reason)
        self._process.close()
        for other in self._open.values():
            other.begin_again()
        self._end(answer, partial(answer.give_back, reason))
        self._stopped.wait(self._backoff.next_delay())

    def _end(self, answer: OpenAnswer, write: Callable[[], object]) -> None:
        """Write what came of an answer, for as long as the store does not take it."""
        del self._open[answer.id]
        with suppress(LeaseLost):  # it has expired, or is another worker's by now
            retry_while_unavailable(write, lambda: not self._stopped.is_set())

    def _renew_leases(self) -> None:
        now = time.monotonic()
        for answer in self._open.values():
            if now - answer.renewed_at < self._renew_seconds:
                continue
            try:
                answer.is_cancelled = answer.renew() == "cancel"
                answer.renewed_at = now
            except LeaseLost:
                answer.is_lost = True

    def _drop_ended(self) -> None:
        """Forget answers that were cancelled, or are another worker's."""
        for answer in [open_ for open_ in self._open.values() if _is_over(open_)]:
            if answer.is_started and self._process.is_started:
                with suppress(*PROCESS_ERRORS):
                    self._process.ask("drop", {"work": answer.id})
            if answer.is_lost:
                del self._open[answer.id]
            else:
                self._end(answer, answer.end_cancelled)

    def _on_wait(self) -> None:
        """Keep the leases while the process computes. Raises Stopping when the worker leaves."""
        if not self._may_wait():
            raise Stopping

    def _may_wait(self) -> bool:
        """Keep the leases; return False when the worker leaves."""
        with suppress(*UNAVAILABLE, StoreFull):
            self._renew_leases()
        return not self._stopped.is_set()

    def _restart(self, reason: str) -> None:
        self._process.close()
        self._give_all_back(reason)
        self._stopped.wait(self._backoff.next_delay())

    def _give_all_back(self, reason: str) -> None:
        for answer in list(self._open.values()):
            del self._open[answer.id]
            with suppress(LeaseLost, *UNAVAILABLE, StoreFull):  # its lease runs out
                answer.give_back(reason)


def _is_over(answer: OpenAnswer) -> bool:
    return answer.is_cancelled or answer.is_lost


def _describe_error(error: dict[str, object]) -> str:
    """Return a refused field, its value and the rule in one sentence."""
    return f"{error['pointer'] or 'the body'}: {error['detail']} (not {error['value']!r})"
