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
from jobs.files.artifacts import ArtifactStore
from jobs.history.column_reader import ColumnReader
from jobs.job import TERMINAL_STATUSES, Lease
from jobs.ledger.claims import Claim
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.queries.jobs import JobQueries
from jobs.recording.segments import Segments
from jobs.recording.writer import HistoryWriter
from jobs.store.connection import connect
from workers import exit_status, memory, outcomes
from workers.canaries import Canaries
from workers.checkpointing.archiver import AttemptArchiver
from workers.checkpointing.writer import CheckpointWriter
from workers.drain import Drain
from workers.forkserver_client import fetch_exit_status, spawn_trainer
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter
from workers.log import JobLog
from workers.outcomes import Outcome
from workers.store_retry import StoreUnavailable, retry_while_unavailable
from workers.trainer_client import TrainerClient, TrainerError, TrainerProcess
from workers.training_attempt import TrainingAttempt
from workers.verification import Verification
from workers.worker_folder import WorkerConfig

#: renewals a lease: two may fail before it is over
RENEWALS_PER_LEASE = 3
#: seconds before claiming again once two jobs in a row were given back: so a fault of this machine
#: neither spins nor uses up a job's five deaths before another worker can take it
RECLAIM_PAUSE_SECONDS = 1.0


class JobRunner:
    """Takes jobs for one worker, one at a time."""

    def __init__(self, config: WorkerConfig, drain: Drain) -> None:
        self._config, self._drain = config, drain
        self._store: redis.Redis = connect(config.settings.redis_url)
        self._ledger = LeaseLedger(self._store, config.settings.lease_seconds)
        self._files = ArtifactStore(config.settings.artifacts)
        self._canaries = Canaries(config.worker_folder, config.device)
        self._trainer_memory = memory.trainer_memory_limit(config.settings, config.queue)
        self._logger = logs.get_logger("runner", worker=config.name)

    def run_jobs(self) -> None:
        """Take jobs until there is none for this worker, or it is to leave."""
        self._canaries.measure(1)  # what cannot even compute that must not take a job
        consecutive_requeues = 0
        while not self._drain.is_requested and (claim := self._claim_job()) is not None:
            fault_points.set_current_job(claim.lease.job_id)
            consecutive_requeues = 0 if self._run_claim(claim) else consecutive_requeues + 1
            fault_points.set_current_job(None)
            if consecutive_requeues > 1 and not self._drain.is_requested:
                time.sleep(RECLAIM_PAUSE_SECONDS)

    def _claim_job(self) -> Claim | None:
        """Claim a job; a reply that was lost is asked for again, under the same nonce."""
        nonce = secrets.token_hex(16)
        while True:
            try:
                return self._claim_with_retry(nonce)
            except MissingCanary as error:
                self._canaries.measure(error.threads)

    def _claim_with_retry(self, nonce: str) -> Claim | None:
        call = partial(
            self._ledger.claim, self._config.queue, worker=self._config.name,
            device=self._config.device, canaries=self._canaries.known_canaries(), nonce=nonce,
            memory=self._trainer_memory, engines=self._canaries.engine_prefixes(),
        )  # fmt: skip
        return retry_while_unavailable(call, lambda: not self._drain.is_requested)

    def _run_claim(self, claim: Claim) -> bool:
        """See one claim through; False when the job went back to its queue."""
        lease = claim.lease
        lease_fields = {"term": lease.term, "nonce": lease.nonce, "pid": os.getpid()}
        self._config.worker_folder.write(
            "job", {"tenant": lease.tenant, "id": lease.job_id, **lease_fields}
        )
        log = JobLog(self._files, lease.tenant, lease.job_id)
        log.write(f"attempt {claim.attempt} by {self._config.name}, tick {claim.tick}")
        try:
            status = self._run_with_lease(claim, log)
        finally:
            log.close()
            self._config.worker_folder.write("job", {})
        self._archive(lease, status)
        return status != "queued"

    def _run_with_lease(self, claim: Claim, log: JobLog) -> str | None:
        """Run an attempt, renewing the lease all the while; return the status it left behind."""
        settings = self._config.settings
        with Heartbeat(
            self._ledger,
            claim.lease,
            renew_seconds=settings.lease_seconds / RENEWALS_PER_LEASE,
            stall_seconds=settings.stall_seconds,
            drain=self._drain,
        ) as heartbeat:
            outcome = self._run_attempt(claim, heartbeat, log)
            if outcome is None:
                log.write("the lease is over, what was not accepted is dropped")
                self._logger.warning("lease lost", job=claim.lease.job_id)
                return None
            reason = outcome.stopped_by or outcome.reason or ""
            # before it is so: an ended job's log is whole for who reads it at once
            log.write(" ".join(filter(None, (f"{outcome.status} at tick {outcome.tick}", reason))))
            status = self._finish(claim.lease, outcome)
        if status != outcome.status:
            log.write(f"but the job is {status or 'not ours any more'}")
        self._logger.info(
            "job left", job=claim.lease.job_id, status=status, tick=outcome.tick, why=reason
        )
        return status

    def _run_attempt(self, claim: Claim, heartbeat: Heartbeat, log: JobLog) -> Outcome | None:
        """Hire a trainer and run the attempt; whatever breaks it off is an outcome too."""
        attempt: TrainingAttempt | Verification | None = None
        process: TrainerProcess | None = None
        oom_kills_before = exit_status.count_oom_kills()
        try:
            process = self._spawn_trainer(heartbeat)
            try:
                with heartbeat.guarding(process.kill):
                    attempt = self._make_attempt(claim, process, heartbeat, log)
                    with closing(attempt.ledger_writer):
                        return attempt.run()
            finally:
                process.close()
        except Exception as error:
            tick = claim.tick if attempt is None else max(attempt.tick, claim.tick)
            exit_description = self._describe_exit(process, oom_kills_before)
            self._log_failure(error, claim.lease, log)
            outcome = outcomes.outcome_of_error(
                error, heartbeat.kill_reason, tick, exit_description
            )
            return outcome and replace(outcome, log_tail=log.tail())

    def _describe_exit(self, process: TrainerProcess | None, oom_kills_before: int) -> str:
        """Say how a trainer that is gone came to its end; `count_oom_kills` were there when it began."""
        status = (
            None
            if process is None
            else fetch_exit_status(self._config.worker_folder.socket_path, process.pid)
        )
        return exit_status.describe_exit(
            status, out_of_memory=exit_status.count_oom_kills() > oom_kills_before
        )

    def _spawn_trainer(self, heartbeat: Heartbeat) -> TrainerProcess:
        def may_retry() -> bool:
            heartbeat.touch()  # it is the template that is waited for
            return not self._drain.is_requested

        return spawn_trainer(self._config.worker_folder.socket_path, may_retry)

    def _make_attempt(
        self, claim: Claim, process: TrainerProcess, heartbeat: Heartbeat, log: JobLog
    ) -> TrainingAttempt | Verification:
        def on_phase(phase: str) -> None:
            heartbeat.phase = phase
            heartbeat.touch()

        def may_retry() -> bool:
            heartbeat.touch()
            return not self._drain.is_overdue

        make_history_writer = partial(
            HistoryWriter, self._ledger, self._store, self._files, claim.lease
        )
        ledger_writer = LedgerWriter(
            self._ledger,
            retry_while_unavailable(make_history_writer, may_retry),
            claim,
            heartbeat,
            self._drain,
            log.write,
        )
        if claim.verify_range is not None:
            return Verification(
                claim=claim,
                verify_range=claim.verify_range,
                device=self._config.device,
                trainer=TrainerClient(process.connection, on_phase, self._trainer_memory),
                measure_canary=self._canaries.measure,
                ledger_writer=ledger_writer,
                column_reader=ColumnReader(self._store, self._files),
                job_queries=JobQueries(self._store),
                files=self._files,
                heartbeat=heartbeat,
                log=log,
            )
        archive = JobArchive(self._store, self._files)
        archiver = AttemptArchiver(archive, claim.lease, may_retry, log.write)
        return TrainingAttempt(
            claim=claim,
            spec=claim.spec,
            device=self._config.device,
            trainer=TrainerClient(process.connection, on_phase, self._trainer_memory),
            measure_canary=self._canaries.measure,
            ledger_writer=ledger_writer,
            checkpoint_writer=CheckpointWriter(
                self._files,
                claim,
                ledger_writer,
                archiver,
                self._config.settings.disk_retry_seconds,
            ),
            files=self._files,
            heartbeat=heartbeat,
            log=log,
        )

    def _finish(self, lease: Lease, outcome: Outcome) -> str | None:
        """Hand the job back; None when it was not ours any more, or the store stayed away."""
        try:
            return self._finish_with_retry(lease, outcome)
        except WrongFinalTick as error:
            reason = f"it ended at tick {outcome.tick}, but {error}"
            return self._finish(lease, outcomes.requeue_outcome(outcome.tick, reason))
        except (LeaseLost, StoreUnavailable):
            return None

    def _finish_with_retry(self, lease: Lease, outcome: Outcome) -> str:
        # what a worker that leaves gives back is no fault of the job's, whatever broke it off
        is_drained = outcome.status == "queued" and self._drain.is_requested
        call = partial(
            self._ledger.release, lease, outcome.status, outcome.tick,
            stopped_by=outcome.stopped_by, error=outcome.error,
            reason="drain" if is_drained else outcome.reason, tail=outcome.log_tail,
            result=outcome.result, is_complete=outcome.is_complete,
        )  # fmt: skip
        return retry_while_unavailable(call, lambda: not self._drain.is_overdue)

    def _log_failure(self, error: Exception, lease: Lease, log: JobLog) -> None:
        """Say in both logs what broke an attempt off."""
        trace = f"\n{error.traceback}" if isinstance(error, TrainerError) else ""
        log.write(f"{type(error).__name__}: {error}{trace}")
        self._logger.warning("attempt broke off", job=lease.job_id, error=repr(error))

    def _archive(self, lease: Lease, status: str | None) -> None:
        """Have files hold what was left behind: all of an ended job, the record of a live one.

        The reconciler does it for an ended one where this fails.
        """
        try:
            if status in TERMINAL_STATUSES:
                Segments(JobLedger(self._store), self._store, self._files).finalize(
                    lease.tenant, lease.job_id
                )
            elif status is not None:
                JobArchive(self._store, self._files).save(lease.tenant, lease.job_id)
        except Exception as error:
            self._logger.warning("job not kept in files yet", job=lease.job_id, error=repr(error))
