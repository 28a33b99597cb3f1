"""Owns a job: claims it, gets a trainer, sees an attempt through, hands the job back.

Lives in the pool child. The one file that knows store, trainer process and log at once; what an
attempt does stands in attempt.py, what its breaking off means in outcomes.py.
"""

import os
import secrets
import time
from contextlib import closing
from dataclasses import replace
from functools import partial

import redis

from jobs import fault_points, logs
from jobs.archive.jobs import JobArchive
from jobs.errors import LeaseLost, MissingCanary, WrongFinalTick
from jobs.files import ArtifactStore
from jobs.history.columns import ColumnReader
from jobs.index import JobQueries
from jobs.job import TERMINAL_STATUSES, Lease
from jobs.ledger import Claim, JobLedger
from jobs.recorder import HistoryWriter
from jobs.segments import Segments
from jobs.store import connect
from workers import endings, memory, outcomes
from workers.attempt import Attempt
from workers.books import Books
from workers.canaries import Canaries
from workers.drain import Drain
from workers.heartbeat import Heartbeat
from workers.keeping import Keeper
from workers.log import JobLog
from workers.outcomes import Outcome
from workers.patience import StoreAway, insist
from workers.post import Post
from workers.saving import Saver
from workers.template import ending, hire
from workers.trainer import Process, Trainer, TrainerFault
from workers.verifying import Verification

#: renewals a lease: two may fail before it is over
RENEWALS = 3
#: seconds before claiming again once two jobs in a row were given back: so a fault of this machine
#: neither spins nor uses up a job's five deaths before another worker can take it
BREATH_SECONDS = 1.0


class Runner:
    """Takes jobs for one worker, one at a time."""

    def __init__(self, post: Post, drain: Drain) -> None:
        self._post, self._drain = post, drain
        self._store: redis.Redis = connect(post.settings.redis_url)
        self._ledger = JobLedger(self._store, post.settings.lease_seconds)
        self._files = ArtifactStore(post.settings.artifacts)
        self._canaries = Canaries(post.desk, post.device)
        self._memory = memory.for_trainers(post.settings, post.queue)
        self._say = logs.get_logger("runner", worker=post.name)

    def work(self) -> None:
        """Take jobs until there is none for this worker, or it is to leave."""
        self._canaries.of(1)  # what cannot even compute that must not take a job
        setbacks = 0
        while not self._drain.requested and (claim := self._claim()) is not None:
            fault_points.set_current_job(claim.lease.job_id)
            setbacks = 0 if self._take(claim) else setbacks + 1
            fault_points.set_current_job(None)
            if setbacks > 1 and not self._drain.requested:
                time.sleep(BREATH_SECONDS)

    def _claim(self) -> Claim | None:
        """Claim a job; a reply that was lost is asked for again, under the same nonce."""
        nonce = secrets.token_hex(16)
        while True:
            try:
                return self._insist_on_claim(nonce)
            except MissingCanary as needed:
                self._canaries.of(needed.threads)

    def _insist_on_claim(self, nonce: str) -> Claim | None:
        call = partial(
            self._ledger.claim, self._post.queue, worker=self._post.name,
            device=self._post.device, canaries=self._canaries.known(), nonce=nonce,
            memory=self._memory, engines=self._canaries.engines(),
        )  # fmt: skip
        return insist(call, lambda: not self._drain.requested)

    def _take(self, claim: Claim) -> bool:
        """See one claim through; False when the job went back to its queue."""
        lease = claim.lease
        held = {"term": lease.term, "nonce": lease.nonce, "pid": os.getpid()}
        self._post.desk.write("job", {"tenant": lease.tenant, "id": lease.job_id, **held})
        log = JobLog(self._files, lease.tenant, lease.job_id)
        log.say(f"attempt {claim.attempt} by {self._post.name}, tick {claim.tick}")
        try:
            status = self._see_through(claim, log)
        finally:
            log.close()
            self._post.desk.write("job", {})
        self._keep(lease, status)
        return status != "queued"

    def _see_through(self, claim: Claim, log: JobLog) -> str | None:
        """Run an attempt, renewing the lease all the while; return the status it left behind."""
        settings = self._post.settings
        with Heartbeat(
            self._ledger,
            claim.lease,
            every=settings.lease_seconds / RENEWALS,
            stall=settings.stall_seconds,
            drain=self._drain,
        ) as beat:
            outcome = self._outcome(claim, beat, log)
            if outcome is None:
                log.say("the lease is over, what was not accepted is dropped")
                self._say.warning("lease lost", job=claim.lease.job_id)
                return None
            why = outcome.stopped_by or outcome.reason or ""
            # before it is so: an ended job's log is whole for who reads it at once
            log.say(" ".join(filter(None, (f"{outcome.status} at tick {outcome.tick}", why))))
            status = self._finish(claim.lease, outcome)
        if status != outcome.status:
            log.say(f"but the job is {status or 'not ours any more'}")
        self._say.info(
            "job left", job=claim.lease.job_id, status=status, tick=outcome.tick, why=why
        )
        return status

    def _outcome(self, claim: Claim, beat: Heartbeat, log: JobLog) -> Outcome | None:
        """Hire a trainer and run the attempt; whatever breaks it off is an outcome too."""
        attempt: Attempt | Verification | None = None
        process: Process | None = None
        oom_kills = endings.oom_kills()
        try:
            process = self._hire(beat)
            try:
                with beat.watching(process.kill):
                    attempt = self._attempt(claim, process, beat, log)
                    with closing(attempt.books):
                        return attempt.run()
            finally:
                process.bury()
        except Exception as error:
            tick = claim.tick if attempt is None else max(attempt.tick, claim.tick)
            ended = self._how_it_ended(process, oom_kills)
            self._note(error, claim.lease, log)
            outcome = outcomes.of(error, beat.verdict, tick, ended)
            return outcome and replace(outcome, tail=log.tail())

    def _how_it_ended(self, process: Process | None, oom_kills: int) -> str:
        """Say how a trainer that is gone came to its end; `oom_kills` were there when it began."""
        status = None if process is None else ending(self._post.desk.socket, process.pid)
        return endings.in_words(status, out_of_memory=endings.oom_kills() > oom_kills)

    def _hire(self, beat: Heartbeat) -> Process:
        def may_wait() -> bool:
            beat.moved()  # it is the template that is waited for
            return not self._drain.requested

        return hire(self._post.desk.socket, may_wait)

    def _attempt(
        self, claim: Claim, process: Process, beat: Heartbeat, log: JobLog
    ) -> Attempt | Verification:
        def on_phase(phase: str) -> None:
            beat.phase = phase
            beat.moved()

        def may_wait() -> bool:
            beat.moved()
            return not self._drain.overdue

        make = partial(HistoryWriter, self._ledger, self._store, self._files, claim.lease)
        books = Books(self._ledger, insist(make, may_wait), claim, beat, self._drain, log.say)
        if claim.verify_range is not None:
            return Verification(
                claim=claim,
                verifies=claim.verify_range,
                device=self._post.device,
                trainer=Trainer(process.leash, on_phase, self._memory),
                canary=self._canaries.of,
                books=books,
                columns=ColumnReader(self._store, self._files),
                index=JobQueries(self._store),
                files=self._files,
                beat=beat,
                log=log,
            )
        archive = JobArchive(self._store, self._files)
        keeper = Keeper(archive, claim.lease, may_wait, log.say)
        return Attempt(
            claim=claim,
            spec=claim.spec,
            device=self._post.device,
            trainer=Trainer(process.leash, on_phase, self._memory),
            canary=self._canaries.of,
            books=books,
            saver=Saver(self._files, claim, books, keeper, self._post.settings.disk_retry_seconds),
            files=self._files,
            beat=beat,
            log=log,
        )

    def _finish(self, lease: Lease, outcome: Outcome) -> str | None:
        """Hand the job back; None when it was not ours any more, or the store stayed away."""
        try:
            return self._insist_on_finish(lease, outcome)
        except WrongFinalTick as short:
            reason = f"it ended at tick {outcome.tick}, but {short}"
            return self._finish(lease, outcomes.given_back(outcome.tick, reason))
        except (LeaseLost, StoreAway):
            return None

    def _insist_on_finish(self, lease: Lease, outcome: Outcome) -> str:
        # what a worker that leaves gives back is no fault of the job's, whatever broke it off
        drained = outcome.status == "queued" and self._drain.requested
        call = partial(
            self._ledger.release, lease, outcome.status, outcome.tick,
            stopped_by=outcome.stopped_by, error=outcome.error,
            reason="drain" if drained else outcome.reason, tail=outcome.tail,
            result=outcome.result, is_complete=outcome.whole,
        )  # fmt: skip
        return insist(call, lambda: not self._drain.overdue)

    def _note(self, error: Exception, lease: Lease, log: JobLog) -> None:
        """Say in both logs what broke an attempt off."""
        trace = f"\n{error.traceback}" if isinstance(error, TrainerFault) else ""
        log.say(f"{type(error).__name__}: {error}{trace}")
        self._say.warning("attempt broke off", job=lease.job_id, error=repr(error))

    def _keep(self, lease: Lease, status: str | None) -> None:
        """Have files hold what was left behind: all of an ended job, the record of a live one.

        The reconciler does it for an ended one where this fails.
        """
        try:
            if status in TERMINAL_STATUSES:
                Segments(self._ledger, self._store, self._files).finalize(
                    lease.tenant, lease.job_id
                )
            elif status is not None:
                JobArchive(self._store, self._files).save(lease.tenant, lease.job_id)
        except Exception as error:
            self._say.warning("job not kept in files yet", job=lease.job_id, error=repr(error))
