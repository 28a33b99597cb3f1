"""Every key of the store, with its type and contents; lua/prelude.lua has the same in Lua.

A job is `<tenant>/<job_id>`, its member, in every set; its own keys have that in braces, so that a
cluster would keep them in one slot. Sends no command. The fields of a job's hash are in
jobs/store/job_fields.py.
"""

SEQUENCE = "jobs:sequence"  # int: number of submissions, over all tenants
QUEUES = "queues"  # set: names of the queues that ever had a job
UNFINALIZED_JOBS = "jobs:unsealed"  # set of members: ended, with history left in the store
WORKERS = "workers"  # hash: name -> JSON of jobs/queries/worker_registry.py, with `until_ms`
TENANTS = "jobs:tenants"  # set: tenants that ever had a job
TICKS = "jobs:ticks"  # int: number of accepted ticks, over all tenants
DATASET_SEQUENCE = "datasets:sequence"  # int: number of datasets made, over all tenants
DATASET_ID_SECRETS = (
    "datasets:secrets"  # hash: tenant -> secret that its datasets' ids are made with
)
PENDING_BLOB_DELETIONS = "datasets:doomed"  # sorted set: unused blob files by removal time in ms
ACCESS_SEQUENCE = "access:sequence"  # int: number of access keys made
STORE_UUID = "store:uuid"  # string: id of this store; the artifacts' root has it too
ARCHIVED = "store:archived"  # string: set once everything in the store has an archive record


def job_member(tenant: str, job_id: str) -> str:
    """Return the name of a job in sets."""
    return f"{tenant}/{job_id}"


def split_member(name: str) -> tuple[str, str]:
    """Return tenant and job id of a member."""
    tenant, job_id = name.split("/", 1)
    return tenant, job_id


def job(tenant: str, job_id: str) -> str:
    """Hash: the job's record; jobs/store/job_fields.py lists its fields."""
    return f"job:{{{tenant}/{job_id}}}"


def column(tenant: str, job_id: str, name: str, segment: int) -> str:
    """String: a float32, little-endian, for each tick of a segment that is not in files."""
    return f"{job(tenant, job_id)}:f32:{name}:{segment}"


def summary_rows(tenant: str, job_id: str, name: str, segment: int) -> str:
    """String: a 24-byte summary row for each complete bucket of 1,024 ticks of the segment."""
    return f"{job(tenant, job_id)}:rows:{name}:{segment}"


def sparse(tenant: str, job_id: str, name: str, segment: int) -> str:
    """String: 16-byte points (u64 tick, 8 bytes of value) in the order of ticks."""
    return f"{job(tenant, job_id)}:sparse:{name}:{segment}"


def segment_digests(tenant: str, job_id: str) -> str:
    """Hash: name of a history file -> its sha256 in hex."""
    return f"{job(tenant, job_id)}:digests"


def checkpoints(tenant: str, job_id: str) -> str:
    """Hash: tick -> the committed checkpoint (JSON)."""
    return f"{job(tenant, job_id)}:checkpoints"


def deleted_checkpoints(tenant: str, job_id: str) -> str:
    """Set: ticks of checkpoints that clients deleted while the job lived."""
    return f"{job(tenant, job_id)}:removed"


def job_idempotency_keys(tenant: str, job_id: str) -> str:
    """Hash: idempotency key used for this job -> digest of the request body."""
    return f"{job(tenant, job_id)}:known"


def checkpoint_responses(tenant: str, job_id: str) -> str:
    """Hash: idempotency key of a checkpoint request -> the response (JSON), empty before it."""
    return f"{job(tenant, job_id)}:answers"


def attempt(tenant: str, job_id: str, number: int) -> str:
    """Hash: one attempt; jobs/store/codec.py reads it."""
    return f"{job(tenant, job_id)}:attempt:{number}"


def audit(tenant: str, job_id: str) -> str:
    """List: `term nonce first last` of the ticks accepted under each lease."""
    return f"{job(tenant, job_id)}:audit"


def events(tenant: str, job_id: str) -> str:
    """List: the newest 10,000 events (JSON), each with its number."""
    return f"{job(tenant, job_id)}:events"


def notices(tenant: str, job_id: str) -> str:
    """Stream of the last 32 notices; `notify` of lua/prelude.lua lists their kinds."""
    return f"{job(tenant, job_id)}:notices"


def queued_jobs(queue: str) -> str:
    """Sorted set: queued jobs by rank (highest priority first, then first submitted)."""
    return f"queued:{queue}"


def leases(queue: str) -> str:
    """Sorted set: running jobs by the end of their lease, in ms of the store's clock."""
    return f"leases:{queue}"


def wake_cooldown(queue: str) -> str:
    """String that expires when wake-up messages may be sent again."""
    return f"rung:{queue}"


def celery_queue(queue: str) -> str:
    """List, in the broker: Celery's queue."""
    return f"tickforge.{queue}"


def claim(nonce: str) -> str:
    """String: the member claimed under this nonce, so that a repeated claim gets it again."""
    return f"claim:{nonce}"


def upload_lock(tenant: str, key: str) -> str:
    """String that exists while an upload with this idempotency key is received."""
    return f"idempotency:{tenant}:in-work:{key}"


def idempotency(tenant: str) -> str:
    """Hash: idempotency key -> `<id or "deleted"> <digest of the request body>`."""
    return f"idempotency:{tenant}"


def tombstones(tenant: str) -> str:
    """Sorted set: ids of deleted jobs and datasets by the time of deletion in ms."""
    return f"tombstones:{tenant}"


def job_index(tenant: str, field: str = "", value: str = "") -> str:
    """Sorted set: a tenant's job ids, or those with this value of a field, by seq."""
    return f"index:{tenant}:{field}:{value}" if field else f"index:{tenant}"


def dataset(tenant: str, dataset_id: str) -> str:
    """Hash: a dataset's record; jobs/datasets/dataset.py reads it."""
    return f"dataset:{{{tenant}/{dataset_id}}}"


def dataset_jobs(tenant: str, dataset_id: str) -> str:
    """Set: ids of the live jobs that use the dataset."""
    return f"{dataset(tenant, dataset_id)}:jobs"


def dataset_keys(tenant: str, dataset_id: str) -> str:
    """Set: idempotency keys used for the dataset."""
    return f"{dataset(tenant, dataset_id)}:keys"


def dataset_index(tenant: str) -> str:
    """Sorted set: ids of a tenant's datasets by seq."""
    return f"datasets:of:{tenant}"


def blob(sha256: str) -> str:
    """Hash: `path` of the file with these bytes."""
    return f"dataset:blob:{sha256}"


def blob_references(sha256: str) -> str:
    """Set: datasets (`<tenant>/<id>`) with these bytes."""
    return f"{blob(sha256)}:references"


def access_key(key_id: str) -> str:
    """Hash: an access key: sha256 of its secret, tenant, scopes, name, created_ms."""
    return f"access:key:{key_id}"


def access_index(tenant: str | None = None) -> str:
    """Sorted set: ids of a tenant's access keys, or of all, by seq."""
    return "access:index" if tenant is None else f"access:index:{tenant}"


def access_idempotency(tenant: str) -> str:
    """Hash: idempotency key -> `<key id or "deleted"> <digest>`; of the tenant that makes keys."""
    return f"access:idempotency:{tenant}"


def rate_limit(key_id: str) -> str:
    """Hash: the requests that a key has `left`, and since when; not replicated."""
    return f"limit:{key_id}"
