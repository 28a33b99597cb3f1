"""The legend: every key of the store is made here, and nowhere else but in lua/prelude.lua.

A job is named `<tenant>/<job_id>` (its member) in every set; its own keys carry that in braces, so
that they would share a slot. Knows no command.
"""

SEQUENCE = "jobs:sequence"  # int: submissions so far, over all tenants
QUEUES = "queues"  # set: names of the queues that ever had a job
UNFINALIZED_JOBS = (
    "jobs:unsealed"  # set of members: ended, with a part of the history still in the store
)
WORKERS = "workers"  # hash: name -> what it last announced (JSON with `until_ms`)
TENANTS = "jobs:tenants"  # set: tenants that ever had a job
TICKS = "jobs:ticks"  # int: ticks accepted so far, over all tenants
DATASET_SEQUENCE = "datasets:sequence"  # int: datasets made so far, over all tenants
DATASET_ID_SECRETS = "datasets:secrets"  # hash: tenant -> what its datasets' ids are made with
PENDING_BLOB_DELETIONS = (
    "datasets:doomed"  # sorted set: blob files that nothing refers to, by when they may go
)
ACCESS_SEQUENCE = "access:sequence"  # int: access keys made so far
STORE_UUID = "store:uuid"  # string: which store this is; the artifacts' root says the same
ARCHIVED = "store:archived"  # string: set when all there is has a record in the artifacts


def job_member(tenant: str, job_id: str) -> str:
    """How a job is named in sets."""
    return f"{tenant}/{job_id}"


def split_member(name: str) -> tuple[str, str]:
    """Tenant and job id of a member."""
    tenant, job_id = name.split("/", 1)
    return tenant, job_id


def job(tenant: str, job_id: str) -> str:
    """Hash: the job's record (jobs/store/codec.py reads it)."""
    return f"job:{{{tenant}/{job_id}}}"


def column(tenant: str, job_id: str, name: str, segment: int) -> str:
    """String: little-endian float32 of an open segment, one a tick."""
    return f"{job(tenant, job_id)}:f32:{name}:{segment}"


def summary_rows(tenant: str, job_id: str, name: str, segment: int) -> str:
    """String: 24-byte summary rows of the segment's complete buckets of 1,024 ticks."""
    return f"{job(tenant, job_id)}:rows:{name}:{segment}"


def sparse(tenant: str, job_id: str, name: str, segment: int) -> str:
    """String: 16-byte points (u64 tick, 8 bytes of value), in the order of their ticks."""
    return f"{job(tenant, job_id)}:sparse:{name}:{segment}"


def segment_digests(tenant: str, job_id: str) -> str:
    """Hash: name of a history file -> its sha256, for the parts that have moved."""
    return f"{job(tenant, job_id)}:digests"


def checkpoints(tenant: str, job_id: str) -> str:
    """Hash: tick -> the committed checkpoint (JSON)."""
    return f"{job(tenant, job_id)}:checkpoints"


def deleted_checkpoints(tenant: str, job_id: str) -> str:
    """Set: ticks of checkpoints that clients deleted while the job lived."""
    return f"{job(tenant, job_id)}:removed"


def job_idempotency_keys(tenant: str, job_id: str) -> str:
    """Hash: idempotency key that was used for this job -> digest of the body."""
    return f"{job(tenant, job_id)}:known"


def checkpoint_responses(tenant: str, job_id: str) -> str:
    """Hash: idempotency key of a checkpoint that was asked for -> the answer, without the spec."""
    return f"{job(tenant, job_id)}:answers"


def attempt(tenant: str, job_id: str, number: int) -> str:
    """Hash: one claim and what came of it."""
    return f"{job(tenant, job_id)}:attempt:{number}"


def audit(tenant: str, job_id: str) -> str:
    """List: `term nonce first last` of the ticks accepted under each claim."""
    return f"{job(tenant, job_id)}:audit"


def events(tenant: str, job_id: str) -> str:
    """List: the newest events (JSON), each with its number."""
    return f"{job(tenant, job_id)}:events"


def notices(tenant: str, job_id: str) -> str:
    """Stream, capped: hints that something is new (lua/prelude.lua says which)."""
    return f"{job(tenant, job_id)}:notices"


def queued_jobs(queue: str) -> str:
    """Sorted set: queued jobs by -priority, then submission."""
    return f"queued:{queue}"


def leases(queue: str) -> str:
    """Sorted set: running jobs by the end of their lease, server time in ms."""
    return f"leases:{queue}"


def wake_cooldown(queue: str) -> str:
    """String that lives for the grace between two rounds of bells."""
    return f"rung:{queue}"


def celery_queue(queue: str) -> str:
    """Celery's queue of this name (a list, in the broker)."""
    return f"tickforge.{queue}"


def claim(nonce: str) -> str:
    """String: the member claimed under this nonce, so that a repeated claim repeats its answer."""
    return f"claim:{nonce}"


def upload_lock(tenant: str, key: str) -> str:
    """String that lives while an upload with this idempotency key comes in."""
    return f"idempotency:{tenant}:in-work:{key}"


def idempotency(tenant: str) -> str:
    """Hash: idempotency key -> `<job_id or "deleted"> <digest of the body>`."""
    return f"idempotency:{tenant}"


def tombstones(tenant: str) -> str:
    """Sorted set: ids of deleted jobs and datasets by when they were."""
    return f"tombstones:{tenant}"


def job_index(tenant: str, field: str = "", value: str = "") -> str:
    """Sorted set: a tenant's jobs, or those with this value of a field, by submission number."""
    return f"index:{tenant}:{field}:{value}" if field else f"index:{tenant}"


def dataset(tenant: str, dataset_id: str) -> str:
    """Hash: a dataset's record (jobs/datasets/dataset.py reads it)."""
    return f"dataset:{{{tenant}/{dataset_id}}}"


def dataset_jobs(tenant: str, dataset_id: str) -> str:
    """Set: ids of the live jobs that use it."""
    return f"{dataset(tenant, dataset_id)}:jobs"


def dataset_keys(tenant: str, dataset_id: str) -> str:
    """Set: idempotency keys that led to it."""
    return f"{dataset(tenant, dataset_id)}:keys"


def dataset_index(tenant: str) -> str:
    """Sorted set: ids of a tenant's datasets by the order in which they were made."""
    return f"datasets:of:{tenant}"


def blob(sha256: str) -> str:
    """Hash: where the file with these bytes lies."""
    return f"dataset:blob:{sha256}"


def blob_references(sha256: str) -> str:
    """Set: datasets (`<tenant>/<id>`) that are these bytes."""
    return f"{blob(sha256)}:references"


def access_key(key_id: str) -> str:
    """Hash: an access key: sha256 of its secret, tenant, scopes, name."""
    return f"access:key:{key_id}"


def access_index(tenant: str | None = None) -> str:
    """Sorted set: ids of a tenant's access keys, or of all, by when they were made."""
    return "access:index" if tenant is None else f"access:index:{tenant}"


def access_idempotency(tenant: str) -> str:
    """Hash: idempotency key -> `<key id or "deleted"> <digest of the body>`; by who made it."""
    return f"access:idempotency:{tenant}"


def rate_limit(key_id: str) -> str:
    """Hash: how many requests a key has left, and since when; in memory alone."""
    return f"limit:{key_id}"
