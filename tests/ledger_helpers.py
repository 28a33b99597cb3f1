"""What clients and owners of jobs do through the ledger, for tests of the protocol."""

from typing import Any

import numpy as np
import redis

from jobs.job import Checkpoint, Lease
from jobs.ledger.claims import Claim
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.store import keys
from tests.support import small_spec


def make_job_spec(**changes: Any) -> JobSpec:
    return read_spec(small_spec(**changes), max_parameters=10**9)


def submit_job(ledger: JobLedger, tenant: str = "default", **changes: Any) -> str:
    return ledger.submit(tenant, make_job_spec(**changes)).job_id


def claim_job(lease_ledger: LeaseLedger, canary: str = "c1", nonce: str | None = None) -> Claim:
    claim = lease_ledger.claim("cpu", worker="w", device="cpu", canaries={"1": canary}, nonce=nonce)
    assert claim is not None
    return claim


def append_losses(
    lease_ledger: LeaseLedger, lease: Lease, first: int, losses: list[float], **options: Any
) -> Any:
    values = np.array(losses, "<f4").tobytes()
    return lease_ledger.append_ticks(
        lease, first, len(losses), {"loss": values}, {}, 0, {}, **options
    )


def expire_lease(store: "redis.Redis", lease: Lease) -> None:
    """End the lease now, as if its time had passed."""
    name = keys.job_member(lease.tenant, lease.job_id)
    store.zadd(keys.leases("cpu"), {name: 1})


def make_checkpoint(tick: int, **changes: Any) -> Checkpoint:
    fields = {
        "tick": tick, "created_at": "2026-01-01T00:00:00.000Z", "bytes": 10, "metrics": {},
        "sha256": "ab", "files": [], "is_best": False, "is_final": False,
        "folder": f"{tick}-t1", "state": "00", "term": 1,
    }  # fmt: skip
    return Checkpoint.model_validate({**fields, **changes})
