"""The owner of jobs: claims one, spawns a trainer, runs an attempt, finishes the job, archives it.

Lives in the pool child and is the one file that knows store, trainer process and log at once.
training_attempt.py and verification.py have what an attempt does, outcomes.py what its errors mean.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial

from jobs import fault_points, logs
from jobs.archive.jobs import JobArchive
from jobs.errors import LeaseLost, MissingCanary, WrongFinalTick
from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import ColumnReader
from jobs.job import TERMINAL_STATUSES, Lease
from jobs.ledger.claims import Claim
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.measured_rates import make_rate
from jobs.queries import counts
from jobs.queries.jobs import JobQueries
from jobs.queries.tick_rates import record_rate
from jobs.recording.segments import Segments
from jobs.recording.writer import HistoryWriter
from jobs.store.connection import UNAVAILABLE, CommandError, Store, connect
from workers import exit_status, memory, outcomes
from workers.canaries import Canaries, UnusableDevice
from workers.checkpointing.archiver import Archiver
from workers.checkpointing.checkpointer import Checkpointer
from workers.drain import Drain
from workers.forkserver_client import ForkServerUnavailable, fetch_exit_status
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter
from workers.log import JobLog
from workers.outcomes import Outcome
from workers.parent_job import ParentJob
from workers.sealing import Sealing
from workers.store_retry import StoreRetry, StoreUnavailable, retry_while_unavailable
from workers.trainer_client import TrainerClient, TrainerError, TrainerProcess
from workers.trainer_session import TrainerSession
from workers.trainer_supply import TrainerSupply
from workers.training_attempt import TrainingAttempt
from workers.verification import Verification
from workers.worker_folder import WorkerConfig

#: renewals in the time of a lease: two may fail before it is over
RENEWALS_PER_LEASE = 3
#: new ticks of an attempt from which on its rate says something
MIN_MEASURED_TICKS = 10
#: seconds before the next claim once two jobs in a row went back to their queue, so that a fault of
#: this machine neither spins nor uses up a job's attempts before another worker can claim it
RECLAIM_PAUSE_SECONDS = 1.0


class JobRunner:
    """Runs jobs for one worker, one at a time."""

    def __init__(self, config: WorkerConfig, drain: Drain) -> None:
        self._config, self._drain = config, drain
        self._store: Store = connect(config.settings.redis_url)
        self._ledger = LeaseLedger(self._store, config.settings.lease_seconds)
        self._files = ArtifactStore(config.settings.artifacts)
        self._segments = Segments(JobLedger(self._store), self._store, self._files)
        self._canaries = Canaries(config.worker_folder, config.device)
        settings, queue = config.settings, config.queue
        self._trainer_memory = memory.trainer_memory_limit(settings, queue)
        self._claimed_memory = memory.claimed_memory_limit(settings, queue, config.gpu)
        self._trainers = TrainerSupply(config.worker_folder.socket_path)
        self._logger = logs.get_logger("runner", worker=config.name)

    def run_jobs(self) -> None:
        """Run jobs until none is left that this worker can claim, or a drain is requested."""
        try:
            with Sealing(self._segments, self._config.name) as sealing, closing(self._trainers):
                self._run_jobs(sealing)
        except ForkServerUnavailable:
            if not self._drain.is_requested:  # which does not wait for a canary
                raise

    def _run_jobs(self, sealing: Sealing) -> None:
        consecutive_requeues = 0
        while (
            not self._drain.is_requested
            and self._can_compute()
            and (claim := self._claim_job()) is not None
        ):
            fault_points.set_current_job(claim.lease.job_id)
            consecutive_requeues = 0 if self.run_claim(claim, sealing) else consecutive_requeues + 1
            fault_points.set_current_job(None)
            if consecutive_requeues > 1 and not self._drain.is_requested:
                time.sleep(RECLAIM_PAUSE_SECONDS)

    def run_claim(self, claim: Claim, sealing: Sealing) -> bool:
        """Run one claimed job to an outcome; return False if it went back to its queue.

        An ended job is finalized while the next one begins.
        """
        lease = claim.lease
        with self._open_log(claim) as log, self._start_heartbeat(lease) as heartbeat:
            process = attempt = outcome = status = None
            oom_kills_before = exit_status.count_oom_kills()
            try:
                process = self._take_trainer(heartbeat)
                with (
                    self._trainers.ending(process),
                    heartbeat.guarding(process.kill),
                    self._open_session(claim, process, heartbeat, log) as session,
                ):
                    attempt = self._create_attempt(session)
                    outcome = attempt.run()
            except Exception as error:
                tick = max(claim.tick, attempt.tick if attempt else 0)
                ending = self._describe_exit(process, oom_kills_before)
                self._log_error(error, lease, log)
                if outcomes.is_device_fault(error):
                    self._canaries.forget()  # it is measured again before the next claim
                outcome = outcomes.outcome_of_error(error, heartbeat.kill_reason, tick, ending)
                outcome = outcome and replace(outcome, log_tail=log.tail())
            if isinstance(attempt, TrainingAttempt):
                self._record_rate(attempt)
            if outcome is None:
                self._log_lost_lease(lease, log)
            else:
                status = self._finish_job(lease, outcome, log)
        self._archive(lease, status, sealing)
        return status != "queued"

    def _can_compute(self) -> bool:
        """Return whether the device can be used; the main process registers and logs it if not."""
        try:  # a machine that cannot compute even a canary must not claim a job
            self._measure_canary(1)
        except UnusableDevice:
            return False
        return True

    def _measure_canary(self, threads: int) -> str:
        """Return the canary. Raises what `Canaries.measure` does; waits for nothing in a drain."""
        return self._canaries.measure(threads, lambda: not self._drain.is_requested)

    def _claim_job(self) -> Claim | None:
        """Claim a job, under one nonce, so that a claim whose reply was lost is not made twice."""
        nonce = secrets.token_hex(16)
        while True:
            try:
                return self._claim_with_retry(nonce)
            except MissingCanary as error:
                self._measure_canary(error.threads)

    def _claim_with_retry(self, nonce: str) -> Claim | None:
        call = partial(
            self._ledger.claim, self._config.queue, worker=self._config.name,
            device=self._config.device, canaries=self._canaries.known_canaries(), nonce=nonce,
            memory=self._claimed_memory, engines=self._canaries.engine_prefixes(),
        )  # fmt: skip
        return retry_while_unavailable(call, lambda: not self._drain.is_requested)

    @contextmanager
    def _open_log(self, claim: Claim) -> Iterator[JobLog]:
        """Open the job's log; inside, the worker's folder names the job for the reconciler."""
        lease, worker_folder = claim.lease, self._config.worker_folder
        lease_fields = {"term": lease.term, "nonce": lease.nonce, "pid": os.getpid()}
        worker_folder.write("job", {"tenant": lease.tenant, "id": lease.job_id, **lease_fields})
        log = JobLog(self._files, lease.tenant, lease.job_id)
        log.write(f"attempt {claim.attempt} by {self._config.name}, tick {claim.tick}")
        try:
            yield log
        finally:
            log.close()
            worker_folder.write("job", {})

    def _start_heartbeat(self, lease: Lease) -> Heartbeat:
        settings = self._config.settings
        return Heartbeat(
            self._ledger, lease, renew_seconds=settings.lease_seconds / RENEWALS_PER_LEASE,
            stall_seconds=settings.stall_seconds, drain=self._drain,
        )  # fmt: skip

    def _take_trainer(self, heartbeat: Heartbeat) -> TrainerProcess:
        def may_retry() -> bool:
            heartbeat.touch()  # the fork server is being waited for
            return not self._drain.is_requested

        return self._trainers.take(may_retry)

    def _fork_ahead(self, engine: str) -> None:
        """Have the next trainer forked, if a job waits for it that may be trained by `engine`."""
        with suppress(*UNAVAILABLE, CommandError):
            has_next = counts.has_queued_jobs(self._store, self._config.queue)
            if has_next and not self._drain.is_requested:
                self._trainers.fork_ahead(engine)

    @contextmanager
    def _open_session(
        self, claim: Claim, process: TrainerProcess, heartbeat: Heartbeat, log: JobLog
    ) -> Iterator[TrainerSession]:
        """Yield a session with the trainer; at the end no write of it is in flight any more."""
        create = partial(HistoryWriter, self._ledger, self._store, self._files, claim.lease)
        history = StoreRetry(heartbeat, self._drain)(create)
        writer = LedgerWriter(self._ledger, history, claim, heartbeat, self._drain, log.write)
        trainer = TrainerClient(
            process.connection, heartbeat.enter_phase, heartbeat.touch, self._trainer_memory
        )  # fmt: skip
        with closing(writer):
            yield TrainerSession(
                claim, trainer, self._config.device, self._measure_canary, writer,
                self._files, heartbeat, log, on_ending=self._fork_ahead,
            )  # fmt: skip

    def _create_attempt(self, session: TrainerSession) -> TrainingAttempt | Verification:
        if (verify_range := session.claim.verify_range) is not None:
            reader, queries = ColumnReader(self._store, self._files), JobQueries(self._store)
            tenant, parent = session.claim.lease.tenant, verify_range.parent
            parent_job = ParentJob(tenant, parent, reader, queries, self._files)
            return Verification(session, verify_range, parent_job)
        archiver = Archiver(JobArchive(self._store, self._files), session)
        max_seconds = self._config.settings.max_failing_saves_seconds
        return TrainingAttempt(session, Checkpointer(session, archiver, max_seconds))

    def _record_rate(self, attempt: TrainingAttempt) -> None:
        """Record how fast the attempt trained, for plans of other jobs; lost without the store."""
        ticks, seconds = attempt.measured_ticks, attempt.measured_seconds
        canary = self._canaries.known_canaries().get("1")
        if ticks < MIN_MEASURED_TICKS or canary is None:
            return
        rate = make_rate(attempt.spec, attempt.engine, seconds / ticks, int(1000 * time.time()))
        try:
            record_rate(self._store, canary, rate)
        except (*UNAVAILABLE, CommandError) as error:
            self._logger.info("the measured rate is not recorded", error=repr(error))

    def _describe_exit(self, process: TrainerProcess | None, oom_kills_before: int) -> str:
        """Describe how a trainer ended; its attempt began after `oom_kills_before` OOM kills."""
        socket_path = self._config.worker_folder.socket_path
        status = None if process is None else fetch_exit_status(socket_path, process.pid)
        out_of_memory = exit_status.count_oom_kills() > oom_kills_before
        return exit_status.describe_exit(status, out_of_memory=out_of_memory)

    def _log_error(self, error: Exception, lease: Lease, log: JobLog) -> None:
        trace = f"\n{error.traceback}" if isinstance(error, TrainerError) else ""
        log.write(f"{type(error).__name__}: {error}{trace}")
        self._logger.warning("attempt broke off", job=lease.job_id, error=repr(error))

    def _log_lost_lease(self, lease: Lease, log: JobLog) -> None:
        log.write("the lease is over, what was not accepted is dropped")
        self._logger.warning("lease lost", job=lease.job_id)

    def _finish_job(self, lease: Lease, outcome: Outcome, log: JobLog) -> str | None:
        """Leave the job and log how; return its status, or None if it is not ours any more."""
        cause = outcome.stopped_by or outcome.reason or ""
        # logged before the finish, so that an ended job's log is complete for its first reader
        log.write(" ".join(filter(None, (f"{outcome.status} at tick {outcome.tick}", cause))))
        status = self._finish_with_retry(lease, outcome)
        if status != outcome.status:
            log.write(f"but the job is {status or 'not ours any more'}")
        self._logger.info("job left", job=lease.job_id, status=status, tick=outcome.tick, why=cause)
        return status

    def _finish_with_retry(self, lease: Lease, outcome: Outcome) -> str | None:
        # a drain explains a requeue whatever broke the attempt off: it is no fault of the job
        is_drained = outcome.status == "queued" and self._drain.is_requested
        call = partial(
            self._ledger.finish, lease, outcome.status, outcome.tick,
            stopped_by=outcome.stopped_by, error=outcome.error,
            reason="drain" if is_drained else outcome.reason, tail=outcome.log_tail,
            result=outcome.result, is_complete=outcome.is_complete,
        )  # fmt: skip
        try:
            return retry_while_unavailable(call, lambda: not self._drain.is_overdue)
        except WrongFinalTick as error:
            reason = f"it ended at tick {outcome.tick}, but {error}"
            return self._finish_with_retry(lease, outcomes.requeue_outcome(outcome.tick, reason))
        except (LeaseLost, StoreUnavailable):
            return None

    def _archive(self, lease: Lease, status: str | None, sealing: Sealing) -> None:
        """Archive the job's record and, if it has ended, its whole history."""
        if status in TERMINAL_STATUSES:
            return sealing.begin(lease)
        try:
            if status is not None:
                JobArchive(self._store, self._files).save(lease.tenant, lease.job_id)
        except Exception as error:
            self._logger.warning("job not kept in files yet", job=lease.job_id, error=repr(error))
