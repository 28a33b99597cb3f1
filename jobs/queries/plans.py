"""Plans of specs with the workers that live now and what these measured. Changes nothing."""

from jobs.plan import Plan, plan
from jobs.queries.notified_webhooks import find_notify_warnings
from jobs.queries.tick_rates import read_rates
from jobs.queries.worker_registry import live_workers
from jobs.spec.job_spec import JobSpec
from jobs.store.connection import Store


def plan_now(store: Store, tenant: str, spec: JobSpec, first_tick: int = 1) -> Plan:
    """Return what a tenant's complete spec would mean, from `first_tick` on."""
    workers = live_workers(store)
    warnings = find_notify_warnings(store, tenant, spec.notify)
    return plan(spec, workers, read_rates(store, workers), warnings, first_tick)
