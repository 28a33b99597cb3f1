"""Deletes ended jobs that no rule of their tenant keeps; some at a call, by the store's clock.

A job stays while one of the rules that are set keeps it: it ended within `keep_days`, or is among
the `keep_last` that ended last. Spared are jobs with a pinned checkpoint and those that live jobs
need. Each deletion is an event of the tenant. Also removes checkpoints that questions kept.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

from jobs.errors import JobSpared, NoSuchJob
from jobs.files.artifacts import ArtifactStore
from jobs.held_checkpoints import HeldCheckpoints
from jobs.job_deletion import JobDeletion
from jobs.queries.usage import RetentionRules, UsageQueries
from jobs.store import keys
from jobs.store.connection import Store, read_clock_ms

DAY_MS = 86_400_000
BATCH_SIZE = 100  # jobs looked at in one read
MAX_CANDIDATES = 1000  # of one tenant in one call


class Retention:
    """Applies the rules of all tenants; one process at a time, by a lock that expires."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._store, self._usage = store, UsageQueries(store)
        self._deletion, self._held = JobDeletion(store, files), HeldCheckpoints(store, files)
        self._spared: dict[str, int] = {}  # by tenant: how many of its oldest jobs were passed over
        self._last_tenant = ""

    def apply_some(self, max_seconds: float, interval_seconds: float) -> int:
        """Delete jobs for so long at most, unless another process did within the interval.

        Returns how many were deleted.
        """
        lock_ms = max(1, int(1000 * interval_seconds))
        if not self._store.set(keys.RETENTION_LOCK, "1", nx=True, px=lock_ms):
            return 0
        self._deletion.complete_interrupted()
        deadline, count = time.monotonic() + max_seconds, 0
        self._held.delete_expired(deadline)
        for tenant in self._tenants_in_turn():
            self._last_tenant = tenant
            rules = self._usage.read_tenant(tenant).retention
            if rules.is_set:
                count += self._apply(tenant, rules, deadline)
            if time.monotonic() >= deadline:
                break
        return count

    def _tenants_in_turn(self) -> list[str]:
        """Return all tenants, those first that the last call did not come to."""
        names = self._usage.list_names()
        return sorted(names, key=lambda name: (name <= self._last_tenant, name))

    def _apply(self, tenant: str, rules: RetentionRules, deadline: float) -> int:
        rule = " and ".join(f"{name} {value}" for name, value in rules if value is not None)
        count = 0
        for job_id in self._candidates(tenant, rules):
            try:
                self._deletion.delete(tenant, job_id, spare=True, rule=rule)
                count += 1
            except (JobSpared, NoSuchJob):  # the latter was deleted by a client meanwhile
                self._spared[tenant] = self._spared.get(tenant, 0) + 1
            if time.monotonic() >= deadline:
                break
        return count

    def _candidates(self, tenant: str, rules: RetentionRules) -> Iterator[str]:
        """Yield ended jobs that no rule keeps, the first to end first, after those spared before.

        At the end the next call begins with the spared ones again.
        """
        latest_ms = float("inf")
        if rules.keep_days is not None:
            latest_ms = read_clock_ms(self._store) - rules.keep_days * DAY_MS
        for _ in range(0, MAX_CANDIDATES, BATCH_SIZE):
            start = self._spared.get(tenant, 0)
            count: Any = self._store.zcard(keys.ended_jobs(tenant))
            stop, batch = count - (rules.keep_last or 0), cast(Any, [])
            if stop > start:
                last = min(start + BATCH_SIZE, stop) - 1
                batch = self._store.zrange(keys.ended_jobs(tenant), start, last, withscores=True)
            due = [job_id.decode() for job_id, ended_ms in batch if ended_ms <= latest_ms]
            yield from due
            if len(due) < BATCH_SIZE:
                with suppress(KeyError):
                    del self._spared[tenant]
                return
