"""Forks: a new job that goes on from a checkpoint of another, with copies of all that it needs.

A fork begins like a job that was interrupted at that tick: with the line's history, the state and
its own spec, it is resumed. So the parent may be deleted once the fork is made. Knows no HTTP.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from jobs.device_choice import inherit_device
from jobs.errors import (
    CheckpointNotKept,
    DatasetDeleted,
    NoSuchCheckpoint,
    NoSuchDataset,
)
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.files.checkpoint_copies import copy_checkpoint
from jobs.files.checkpoint_folders import DamagedCheckpoint
from jobs.files.shared_code import CODE_FILE
from jobs.forks.first_state import NUMBERS_FILE, FirstState
from jobs.forks.held_folder import HeldFolder, held_folder
from jobs.forks.history_copy import HistoryCopy
from jobs.forks.record_fields import continues_bits, line_fields
from jobs.ids import new_job_id
from jobs.job import Checkpoint, Job
from jobs.ledger.client import JobLedger
from jobs.ledger.fork_start import ForkStart
from jobs.plan import Plan, check_memory
from jobs.queries import worker_registry
from jobs.queries.jobs import JobQueries
from jobs.queries.moving_checkpoints import use_checkpoint
from jobs.queries.plans import plan_now
from jobs.settings import Settings
from jobs.spec.fork_patch import patch_spec
from jobs.spec.job_spec import JobSpec
from jobs.store.connection import Store
from jobs.submissions import Idempotency, Submission, Submissions
from jobs.webhooks.notify_check import make_notify_check

T = TypeVar("T")

#: beside a checkpoint's files: records, manifests, the archive
OVERHEAD_BYTES = 1 << 20
#: of a dense column, with its summary rows
BYTES_PER_TICK = 4 + 24 / 1024
#: budgets that an extension replaces as a whole
NO_BUDGET = {"ticks": None, "epochs": None, "seconds": None}


class ForkService:
    """Makes forks. A method that names a job raises NoSuchJob if there is none."""

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        settings: Settings,
        encode_job: Callable[[Job], str],
    ) -> None:
        """`encode_job` writes a job as the JSON that a client is shown."""
        self._store, self._files, self._settings = store, artifacts, settings
        self._queries, self._ledger = JobQueries(store), JobLedger(store)
        self._submissions = Submissions(store, artifacts, settings, encode_job)
        self._history = HistoryCopy(store, artifacts)
        self._notify = make_notify_check(store, artifacts, settings)

    def fork(
        self,
        tenant: str,
        job_id: str,
        tick: int | None,
        patch: Mapping[str, Any],
        idempotency: Idempotency | None,
    ) -> Submission:
        """Queue a job that goes on after a kept checkpoint (None: the newest) with a patched spec.

        Raises what a submission does, and IllegalTransition, CheckpointNotKept, DamagedCheckpoint,
        DamagedHistory, DatasetDeleted or HoldLost.
        """
        if replay := self._submissions.find_replay(tenant, idempotency):
            return replay
        parent, checkpoint = self._find_start(tenant, job_id, tick)
        return use_checkpoint(
            lambda: self._find_start(tenant, job_id, tick)[1],
            lambda start: self._make(tenant, parent, start, patch, idempotency),
            checkpoint,
        )

    def extend(
        self,
        tenant: str,
        job_id: str,
        budget: Mapping[str, Any],
        idempotency: Idempotency | None,
    ) -> Submission:
        """Queue a job that goes on after the final checkpoint, up to another budget.

        Raises what `fork` does; pointers are those of a body with the budget alone.
        """
        if replay := self._submissions.find_replay(tenant, idempotency):
            return replay
        parent, checkpoint = self._find_start(tenant, job_id, "final")
        patch = {"budget": {**NO_BUDGET, **budget}}
        return self._make(tenant, parent, checkpoint, patch, idempotency)

    def plan(self, tenant: str, job_id: str, tick: int | None, patch: Mapping[str, Any]) -> Plan:
        """Return what a fork would mean; stores nothing. Raises what `fork` does."""
        parent, checkpoint = self._find_start(tenant, job_id, tick)
        spec = self._read_spec(tenant, parent, checkpoint.tick, patch)
        return plan_now(self._store, tenant, spec, first_tick=checkpoint.tick + 1)

    def _find_start(
        self, tenant: str, job_id: str, tick: int | str | None
    ) -> tuple[Job, Checkpoint]:
        parent = self._queries.get_job(tenant, job_id)
        if parent.kind != "train":
            action = "go on as another job, for want of a training,"
            self._ledger.raise_illegal_transition(tenant, job_id, action)
        try:
            selector = "latest" if tick is None else str(tick)
            return parent, self._queries.get_checkpoint(tenant, job_id, selector)
        except NoSuchCheckpoint:
            ticks = [saved.tick for saved in self._queries.list_checkpoints(tenant, job_id)]
            raise CheckpointNotKept("latest" if tick is None else tick, ticks) from None

    def _read_spec(self, tenant: str, parent: Job, tick: int, patch: Mapping[str, Any]) -> JobSpec:
        elapsed = self._read_elapsed(tenant, parent, tick)
        spec = patch_spec(parent.spec, patch, tick, elapsed, self._settings.max_parameters)
        if "notify" in patch:  # what is inherited was valid once, as a job's own would be
            self._notify.check(tenant, spec.notify)
        spec = inherit_device(spec, parent.spec)
        check_memory(spec, worker_registry.live_workers(self._store))
        return spec

    def _read_elapsed(self, tenant: str, parent: Job, tick: int) -> float:
        if tick == parent.tick:
            return parent.elapsed_seconds
        return self._history.read_elapsed(tenant, parent.id, tick)

    def _make(
        self,
        tenant: str,
        parent: Job,
        checkpoint: Checkpoint,
        patch: Mapping[str, Any],
        idempotency: Idempotency | None,
    ) -> Submission:
        spec = self._read_spec(tenant, parent, checkpoint.tick, patch)
        self._files.check_free_space(_estimate_bytes(checkpoint, spec))
        self._notify.prepare(tenant, spec.notify)
        job_id = new_job_id()
        with held_folder(self._store, self._files, tenant, job_id) as folder:
            start = self._copy(folder, job_id, parent, checkpoint, spec)
            folder.publish()
            try:
                return self._submissions.create(tenant, spec, idempotency, fork=start)
            except NoSuchDataset as error:
                detail = f"dataset {error} has been deleted: nothing can be trained on it"
                raise DatasetDeleted(detail) from None

    def _copy(
        self,
        folder: HeldFolder,
        job_id: str,
        parent: Job,
        checkpoint: Checkpoint,
        spec: JobSpec,
    ) -> ForkStart:
        tick = checkpoint.tick
        first_state = self._read_first_state(parent, checkpoint, spec)
        best_tick = None if first_state.best is None else int(first_state.best["tick"])
        copies = [
            self._copy_checkpoint(
                folder, parent, checkpoint, {NUMBERS_FILE: first_state.encode()},
                is_best=best_tick == tick and spec.checkpoint.keep_best, is_periodic=True,
            )
        ]  # fmt: skip
        notes = [("info", f"goes on after tick {tick} of {parent.id}")]
        if best_tick not in (None, tick) and spec.checkpoint.keep_best:
            copies += self._copy_best(folder, parent, best_tick, notes)
        history = self._history.copy(parent.tenant, parent.id, tick, folder.path, folder.renew)
        elapsed = self._read_elapsed(parent.tenant, parent, tick)
        return ForkStart(
            job_id=job_id,
            parent=parent.id,
            tick=tick,
            fields=line_fields(parent, spec, tick, elapsed, first_state, copies, history),
            checkpoints=copies,
            digests=history.digests,
            open_parts=history.open_parts,
            size=history.size + _count_bytes(copies),
            continues_bits=continues_bits(parent, spec, tick),
            notes=notes,
        )

    def _copy_best(
        self, folder: HeldFolder, parent: Job, tick: int | None, notes: list[tuple[str, str]]
    ) -> list[Checkpoint]:
        """Copy the checkpoint of the best validation so far, if the parent keeps it."""
        try:
            best = self._queries.get_checkpoint(parent.tenant, parent.id, str(tick))
            return [
                self._copy_checkpoint(folder, parent, best, {}, is_best=True, is_periodic=False)
            ]
        except (NoSuchCheckpoint, CheckpointNotKept):
            text = f"the best so far, of tick {tick}, is not kept: there is no checkpoint `best` "
            notes.append(("warning", f"{text}until a validation is better"))
            return []

    def _copy_checkpoint(
        self,
        folder: HeldFolder,
        parent: Job,
        checkpoint: Checkpoint,
        replaced: Mapping[str, bytes],
        *,
        is_best: bool,
        is_periodic: bool,
    ) -> Checkpoint:
        copy = partial(
            copy_checkpoint, self._files, parent.tenant, parent.id, checkpoint, folder.path,
            replaced, folder.renew, is_best=is_best, is_periodic=is_periodic,
        )  # fmt: skip
        return self._while_listed(parent, checkpoint, copy)

    def _read_first_state(self, parent: Job, checkpoint: Checkpoint, spec: JobSpec) -> FirstState:
        try:
            return FirstState(self._read_numbers(parent, checkpoint), parent.spec, spec)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedCheckpoint(f"{NUMBERS_FILE} has no numbers of a state") from error

    def _read_numbers(self, parent: Job, checkpoint: Checkpoint) -> bytes:
        """Read state.json of a checkpoint, if it is what was committed."""

        def read() -> bytes:
            place = self._files, parent.tenant, parent.id, checkpoint
            file, entry = checkpoint_folders.open_file(*place, NUMBERS_FILE)
            with file:
                data = file.read()
            if hashlib.sha256(data).hexdigest() != entry.sha256:
                raise DamagedCheckpoint(f"{NUMBERS_FILE} is not what was committed")
            return data

        return self._while_listed(parent, checkpoint, read)

    def _while_listed(self, parent: Job, checkpoint: Checkpoint, read: Callable[[], T]) -> T:
        """Read a checkpoint's files; raise CheckpointNotKept if it was removed meanwhile."""
        try:
            return read()
        except DamagedCheckpoint:
            listed = self._queries.list_checkpoints(parent.tenant, parent.id)
            if checkpoint.folder not in [saved.folder for saved in listed]:
                ticks = [saved.tick for saved in listed]
                raise CheckpointNotKept(checkpoint.tick, ticks) from None
            raise


def _estimate_bytes(checkpoint: Checkpoint, spec: JobSpec) -> int:
    """Estimate what the copies take: the state, the best one, the history, and what is beside."""
    history = int(checkpoint.tick * len(spec.record) * BYTES_PER_TICK)
    return 2 * checkpoint.bytes + history + OVERHEAD_BYTES


def _count_bytes(copies: list[Checkpoint]) -> int:
    """Count the bytes of copies as a quota does: shared code once."""
    code = {file.sha256: file.bytes for copy in copies if copy.shared_bytes
            for file in copy.files if file.name == CODE_FILE}  # fmt: skip
    return sum(copy.own_bytes for copy in copies) + sum(code.values())
