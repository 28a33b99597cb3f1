"""Deletes ended jobs: script, tombstone in the archive, files. Ends what was cut short.

A job that was deleted in the store is in a set there until its files are gone, so that a process
that died in between leaves nothing for good. Knows no HTTP.
"""

from typing import Any

from jobs import logs
from jobs.archive.jobs import JobArchive
from jobs.errors import NoSuchJob
from jobs.files.artifacts import ArtifactStore
from jobs.ledger.client import JobLedger
from jobs.store import keys
from jobs.store.connection import Store, read_clock_ms

#: age from which a deletion counts as cut short: its process may still be at it before
INTERRUPTED_AFTER_MS = 60_000
MAX_COMPLETED = 100  # in one call


class JobDeletion:
    """Deletes jobs of any tenant. Every step is safe to repeat."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._files = store, files
        self._ledger, self._archive = JobLedger(store), JobArchive(store, files)

    def delete(
        self, tenant: str, job_id: str, *, spare: bool = False, rule: str | None = None
    ) -> None:
        """Remove an ended job with its history and files. Raises NoSuchJob or NotTerminal.

        Where an earlier try was cut short before its tombstone this completes it.

        With `spare` raises JobSpared for one with a pinned checkpoint, or that a live job needs.
        `rule`: the rule of retention that deletes it; its tenant gets an event.
        """
        with self._archive.reserve_change() as reservation:
            try:
                deleted = self._ledger.delete(tenant, job_id, spare=spare, rule=rule)
            except NoSuchJob:
                if not self._archive.ensure_tombstone(tenant, job_id):
                    raise
            else:
                self._archive.save_tombstone(
                    tenant, job_id, deleted.sequence, deleted.idempotency_keys, deleted.event,
                    reservation,
                )  # fmt: skip
        self._remove_files(tenant, job_id)

    def complete_interrupted(self) -> None:
        """End deletions that a dead process, or a disk that refused, left half done."""
        latest = read_clock_ms(self._store) - INTERRUPTED_AFTER_MS
        members: Any = self._store.zrangebyscore(
            keys.PENDING_JOB_REMOVALS, "-inf", latest, start=0, num=MAX_COMPLETED
        )
        for member in members:
            tenant, job_id = keys.split_member(member.decode())
            self._archive.ensure_tombstone(tenant, job_id)
            self._remove_files(tenant, job_id)

    def _remove_files(self, tenant: str, job_id: str) -> None:
        try:
            self._files.remove_job(tenant, job_id)
        except OSError as error:  # the job is deleted all the same; its disk space is not yet free
            logs.get_logger("deletion").warning("files not removed", job=job_id, error=repr(error))
        else:
            self._store.zrem(keys.PENDING_JOB_REMOVALS, keys.job_member(tenant, job_id))
