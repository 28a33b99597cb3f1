"""What a tenant uses, counted from its records one by one, for comparison with the counters."""

from typing import Any

from jobs.queries.usage import UsageQueries
from jobs.store import keys
from jobs.store.connection import Store


def count_by_hand(store: Store, tenant: str) -> dict[str, int]:
    """Read every job and dataset of a tenant, and add up."""
    job_ids: Any = store.zrange(keys.job_index(tenant), 0, -1)
    dataset_ids: Any = store.zrange(keys.dataset_index(tenant), 0, -1)
    jobs: list[Any] = [store.hgetall(keys.job(tenant, job_id.decode())) for job_id in job_ids]
    datasets: list[Any] = [store.hgetall(keys.dataset(tenant, i.decode())) for i in dataset_ids]
    file_fields = (b"checkpoint_bytes", b"history_bytes", b"code_bytes")
    return {
        "queued": sum(job[b"status"] == b"queued" for job in jobs),
        "running": sum(job[b"status"] == b"running" for job in jobs),
        "spec_bytes": sum(len(job[b"spec"]) for job in jobs),
        "dataset_bytes": sum(int(dataset[b"bytes"]) for dataset in datasets),
        "artifact_bytes": sum(int(job.get(name, 0)) for job in jobs for name in file_fields),
    }


def counters(store: Store, tenant: str) -> dict[str, int]:
    """Return what the service says."""
    usage = UsageQueries(store).read_tenant(tenant).usage
    return {name: getattr(usage, name).used for name in count_by_hand(store, tenant)}


def check_counters(store: Store, tenant: str) -> dict[str, int]:
    """Check that the counters are exact, and return them."""
    assert counters(store, tenant) == count_by_hand(store, tenant)
    return counters(store, tenant)
