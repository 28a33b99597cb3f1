"""Every key of the store, with its type and contents; lua/prelude.lua has the same in Lua.

A job is `<tenant>/<job_id>`, its member, in every set; its own keys have that in braces, so that a
cluster would keep them in one slot. Sends no command. The fields of a job's hash are in
jobs/store/job_fields.py. All keys of answers expire.
"""

from collections.abc import Callable

SEQUENCE = "jobs:sequence"  # int: number of submissions, over all tenants
QUEUES = "queues"  # set: names of the queues that ever had a job
UNFINALIZED_JOBS = "jobs:unsealed"  # set of members: ended, with history left in the store
WORKERS = "workers"  # hash: name -> JSON of jobs/queries/worker_registry.py, with `until_ms`
TENANTS = "jobs:tenants"  # set: tenants that ever had a job, a dataset or settings
TICKS = "jobs:ticks"  # int: number of accepted ticks, over all tenants
DATASET_SEQUENCE = "datasets:sequence"  # int: number of datasets made, over all tenants
DATASET_ID_SECRETS = "datasets:secrets"  # hash: tenant -> secret, for dataset ids and links
PENDING_BLOB_DELETIONS = "datasets:doomed"  # sorted set: unused blob files by removal time in ms
HELD_CHECKPOINTS = "jobs:held"  # set of members: jobs with checkpoints that questions alone keep
PENDING_JOB_REMOVALS = "jobs:doomed"  # sorted set of members: deleted, not their files, by ms
RETENTION_LOCK = "tenants:sweeping"  # string: expires when rules of retention may be applied again
DEFAULT_QUOTAS = "tenants:defaults"  # hash: quota -> the service's limit, from its settings
ACCESS_SEQUENCE = "access:sequence"  # int: number of access keys made
ANSWER_QUEUE = "answers:queue"  # sorted set of members: queued answers by rank
ANSWER_LEASES = "answers:leases"  # sorted set of members: running answers by the end of their lease
#: hash: tenant -> rank of its last queued answer; `-`: rank of the last one that was claimed
ANSWER_RANKS = "answers:ranks"
ANSWER_WAKEUPS = "answers:wakeups"  # list: an entry for each queued answer, which a worker pops
EXPORT_QUEUE = "answers:exports"  # as ANSWER_QUEUE, of exports: not every worker can make one
EXPORT_WAKEUPS = "answers:exports:wakeups"  # as ANSWER_WAKEUPS, of exports
WEBHOOK_SEQUENCE = "webhooks:sequence"  # int: number of webhooks made, over all tenants
WEBHOOK_TENANTS = "webhooks:tenants"  # set: tenants that have a webhook
WEBHOOK_OUTBOXES = "webhooks:outboxes"  # set: tenants with events that are not fanned out yet
WEBHOOKS_DUE = (
    "webhooks:due"  # sorted set of webhooks' members: when their first lane is due, in ms
)
WEBHOOK_LEASE = "webhooks:lease"  # string: nonce of the one sender; expires
WEBHOOK_DEFAULTS = "webhooks:defaults"  # hash: tenant -> id of its webhook for addresses in specs
WEBHOOK_OUTCOMES = "webhooks:outcomes"  # hash: outcome -> how many tries or events had it
STORE_UUID = "store:uuid"  # string: id of this store; the artifacts' root has it too
ARCHIVED = "store:archived"  # string: form of the archive that has everything in the store
OWED_RECORDS = "store:owed"  # set: `<kind> <tenant> <id>` of what has no current record


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


def attempt(tenant: str, job_id: str, number: int) -> str:
    """Hash: one attempt; jobs/store/codec.py reads it."""
    return f"{job(tenant, job_id)}:attempt:{number}"


def upload_lock(tenant: str, key: str) -> str:
    """String that exists while an upload with this idempotency key is received."""
    return f"idempotency:{tenant}:in-work:{key}"


def job_index(tenant: str, field: str = "", value: str = "") -> str:
    """Sorted set: a tenant's job ids, or those with this value of a field, by seq."""
    return f"index:{tenant}:{field}:{value}" if field else f"index:{tenant}"


def dataset(tenant: str, dataset_id: str) -> str:
    """Hash: a dataset's record; jobs/datasets/dataset.py reads it."""
    return f"dataset:{{{tenant}/{dataset_id}}}"


def tenant_queue(queue: str, tenant: str) -> str:
    """Sorted set: a tenant's jobs in a queue, by rank."""
    return f"{queued_jobs(queue)}:{tenant}"


def answer(tenant: str, answer_id: str) -> str:
    """Hash: a predict that is in the store alone, or an export; jobs/answers/answer.py reads it."""
    return f"answer:{{{tenant}/{answer_id}}}"


def answer_idempotency(tenant: str, key: str) -> str:
    """String: `<id or "deleted"> <digest of the body>` of the answer asked for with this key."""
    return f"answers:idempotency:{tenant}:{key}"


def webhook(tenant: str, webhook_id: str) -> str:
    """Hash: a webhook's record; jobs/webhooks/webhook.py reads it."""
    return f"webhook:{{{tenant}/{webhook_id}}}"


def webhook_lane(tenant: str, webhook_id: str, lane: str) -> str:
    """List: ids of what waits in one lane (a job, or a job and an address), in order."""
    return f"{webhook(tenant, webhook_id)}:lane:{lane}"


def webhook_message(tenant: str, webhook_id: str, message_id: str) -> str:
    """Hash: one message with its body and how its delivery goes; jobs/webhooks/delivery.py."""
    return f"{webhook(tenant, webhook_id)}:message:{message_id}"


def access_index(tenant: str | None = None) -> str:
    """Sorted set: ids of a tenant's access keys, or of all, by seq."""
    return "access:index" if tenant is None else f"access:index:{tenant}"


def _key_of(pattern: str) -> Callable[[str], str]:
    """Return the function that puts its argument in the place of {}."""
    return lambda name: pattern.format(name)


def _of_job(suffix: str) -> Callable[[str, str], str]:
    """Return the function of tenant and job id whose key is that of the job with this suffix."""
    return lambda tenant, job_id: f"{job(tenant, job_id)}:{suffix}"


def _of_dataset(suffix: str) -> Callable[[str, str], str]:
    """Return the function of tenant and dataset id whose key has this suffix."""
    return lambda tenant, dataset_id: f"{dataset(tenant, dataset_id)}:{suffix}"


def _of_webhook(suffix: str) -> Callable[[str, str], str]:
    """Return the function of tenant and webhook id whose key has this suffix."""
    return lambda tenant, webhook_id: f"{webhook(tenant, webhook_id)}:{suffix}"


# Of a job: functions of its tenant and its id.

segment_digests = _of_job("digests")  # hash: name of a history file -> its sha256 in hex
checkpoints = _of_job("checkpoints")  # hash: tick -> the committed checkpoint (JSON)
deleted_checkpoints = _of_job("removed")  # set: ticks of those that clients deleted while it lived
#: hash: idempotency key used for this job -> digest of the request body
job_idempotency_keys = _of_job("known")
#: hash: idempotency key of a checkpoint request -> the response (JSON), empty before it
checkpoint_responses = _of_job("answers")
#: hash: id of an answer about one of its checkpoints -> the tick; expires
checkpoint_holds = _of_job("holds")
#: hash: `latest` or `best` -> `<tick> <folder>` whose export was asked for by it; expires
asked_exports = _of_job("exports")
audit = _of_job("audit")  # list: `term nonce first last` of the ticks accepted under each lease
events = _of_job("events")  # list: the newest 10,000 events (JSON), each with its number
notices = _of_job("notices")  # stream: the last 32; `notify` of lua/prelude.lua lists their kinds

# Of a queue.

queued_jobs = _key_of("queued:{}")  # sorted set: by rank (highest priority, then first submitted)
leases = _key_of("leases:{}")  # sorted set: running jobs by the end of their lease, in store ms
wake_cooldown = _key_of("rung:{}")  # string: expires when wake-up messages may be sent again
waiting_tenants = _key_of("tenants:waiting:{}")  # set: tenants with jobs in the queue
celery_queue = _key_of("tickforge.{}")  # list, in the broker: Celery's queue

# Of a tenant.

#: hash: key -> `<id or "deleted"> <digest of the body>`; a dataset's digest is `digest:status`
idempotency = _key_of("idempotency:{}")
tombstones = _key_of("tombstones:{}")  # sorted set: ids of deleted jobs and datasets by time in ms
dataset_index = _key_of("datasets:of:{}")  # sorted set: ids of its datasets by seq
#: hash: idempotency key -> `<key id or "deleted"> <digest>`; of the tenant that makes keys
access_idempotency = _key_of("access:idempotency:{}")

#: hash: quota or rule of retention -> its value, of those that are set for this tenant
tenant_settings = _key_of("tenants:settings:{}")
#: hash: spec_bytes, dataset_bytes, artifact_bytes in use; `events`: number of the newest one;
#: `counted_upto`: seq of the last job counted, while they are counted anew
tenant_usage = _key_of("tenants:usage:{}")
#: sorted set: the newest 1,000 events of the tenant (JSON) by their number
tenant_events = _key_of("tenants:events:{}")
ended_jobs = _key_of("tenants:ended:{}")  # sorted set: ids of its ended jobs by their end in ms

answer_index = _key_of("answers:of:{}")  # sorted set: ids of its answers by seq
#: hash: id -> bytes that the answer's record has; `total`: their sum
answer_bytes = _key_of("answers:bytes:{}")
queued_answers = _key_of("answers:queued:{}")  # sorted set: ids of queued ones by expiry in ms

webhook_index = _key_of("webhooks:of:{}")  # sorted set: ids of its webhooks by seq
#: hash: event or `*` -> how many enabled webhooks, beside the default one, take it
webhook_events = _key_of("webhooks:events:{}")
#: stream: the newest 10,000 events that are not fanned out yet; `emit` of lua/prelude.lua adds them
webhook_outbox = _key_of("webhooks:outbox:{}")
webhook_drops = _key_of("webhooks:dropped:{}")  # int: events that were dropped from its outbox
#: hash: idempotency key -> `<webhook id or "deleted"> <digest>`
webhook_idempotency = _key_of("webhooks:idempotency:{}")

# Of a webhook: functions of its tenant and its id.

webhook_lanes = _of_webhook("lanes")  # sorted set: its lanes by when their first message is due
webhook_messages = _of_webhook("messages")  # sorted set: ids of all its messages by their number
webhook_waiting = _of_webhook("waiting")  # sorted set: ids of those that have not ended, likewise
webhook_ended = _of_webhook("ended")  # sorted set: ids of those that have, by their end in ms

# Of a dataset: functions of its tenant and its id; the blobs are of a sha256.

dataset_jobs = _of_dataset("jobs")  # set: ids of the live jobs that use the dataset
dataset_keys = _of_dataset("keys")  # set: idempotency keys used for the dataset
#: hash: `path` of the file with these bytes; `of:<tenant>`: how many of its datasets hold it
blob = _key_of("dataset:blob:{}")
blob_references = _key_of("dataset:blob:{}:references")  # set: datasets with them (`<tenant>/<id>`)

# Of an access key's id, of a canary, of a version of a file, and of a claim's nonce.

#: hash: an access key: id, sha256 of its secret, tenant, scopes, name, created_ms, seq;
#: `maker` and `idempotency_key` where it was made with one
access_key = _key_of("access:key:{}")
rate_limit = _key_of("limit:{}")  # hash: the requests `left`, and since when; not replicated
link_limit = _key_of("limit:{}:links")  # the same, of requests by signed links of a key
#: hash: engine, setting and shape -> the measured rate (JSON) of jobs/measured_rates.py; expires
tick_rates = _key_of("rates:{}")
damaged_file = _key_of("store:damaged:{}")  # string: exists while a file's version is known as bad
claim = _key_of("claim:{}")  # string: the member claimed under it, so that a repeat gets it again
