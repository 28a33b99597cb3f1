"""The store's records of jobs, read in one go, and compared with the model and the contract.

`check_equals_model` compares with the model's state; `read_records` and `check_transitions` check
what the contract says of any state.
"""

import json
import re
import struct
from dataclasses import dataclass
from typing import Any

import redis

from jobs.job import STATUSES
from jobs.store import keys
from tests.ledger_model import World
from tests.ledger_owners import SEGMENT_TICKS, TERMINAL, TRANSITIONS, ModelJob, segment_of

StoreContent = dict[str, Any]  # key -> value
StoreDump = dict[bytes, bytes]  # key -> the server's own form of its value
READ_SCRIPT = """
local how = { hash = 'HGETALL', set = 'SMEMBERS', string = 'GET' }
local reply = {}
for _, name in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', name).ok
  local value = ''
  if how[kind] then value = redis.call(how[kind], name)
  elseif kind == 'list' then value = redis.call('LRANGE', name, '0', '-1')
  elseif kind == 'zset' then value = redis.call('ZRANGE', name, '0', '-1') end
  reply[#reply + 1] = { name, kind, value }
end
return reply
"""
FIELDS = (
    "status", "term", "owner", "tick", "requested", "attempt", "deaths", "segments", "stopped_by",
    "sealed", "latest_checkpoint", "checkpoint_bytes", "skipped",
)  # fmt: skip
JOB_KEY = re.compile(r"job:\{(?P<member>[^}]*)\}(?::(?P<part>.*))?")
ORDERED_BY_TIME = ("leases:", "tombstones:", "tenants:ended:")  # the model has no clock
SHARED_KEY = re.compile(
    r"(index|queued|leases|tombstones|idempotency|tenants:(usage|ended|waiting)):.*|jobs:unsealed"
)


@dataclass(frozen=True)
class JobRecord:
    """What clients can see of a job."""

    status: str
    term: int
    tick: int
    ticks: dict[int, int]  # those that lie in the store


def read_store(store: "redis.Redis") -> StoreContent:
    """Read every key; hashes as dicts, sorted sets as lists in their order, streams as ''."""
    content: StoreContent = {}
    reply: Any = store.eval(READ_SCRIPT, 0)
    for name, kind, value in reply:
        if kind == b"hash":
            value = dict(zip(map(bytes.decode, value[::2]), value[1::2], strict=True))
        elif kind == b"set":
            value = sorted(map(bytes.decode, value))
        elif kind in (b"list", b"zset"):
            value = [member.decode() for member in value]
        content[name.decode()] = value
    return content


def dump_store(store: "redis.Redis") -> StoreDump:
    """Return all that the store holds."""
    names: list[bytes] = list(store.scan_iter("*"))
    dumped: StoreDump = {name: store.dump(name) for name in names}  # type: ignore[misc]
    return dumped


def restore_store(store: "redis.Redis", dumped: StoreDump) -> None:
    """Replace the content of the store."""
    store.flushall()
    for name, value in dumped.items():
        store.restore(name, 0, value)


def check_equals_model(
    content: StoreContent, world: World, ids: dict[int, str], tenant: str
) -> None:
    """Check that the store holds the model's state and nothing else."""
    actual = {name: value for name, value in content.items() if SHARED_KEY.fullmatch(name)}
    usage = keys.tenant_usage(tenant)
    actual[usage] = {name: size for name, size in actual.get(usage, {}).items() if size != b"0"}
    actual |= {name: sorted(actual[name]) for name in actual if name.startswith(ORDERED_BY_TIME)}
    live = {keys.job_member(tenant, ids[number]) for number in world.jobs}
    for name, value in content.items():
        if match := JOB_KEY.fullmatch(name):
            assert match["member"] in live, f"{name} is left of a job that is gone"
            actual |= _visible(name, match["part"], value)
    expected: StoreContent = _expected_shared(world, ids, tenant)
    for number, job in world.jobs.items():
        expected |= _expected_job(job, tenant, ids[number])
    differ = {
        name: (actual.get(name), expected.get(name))
        for name in actual.keys() | expected.keys()
        if actual.get(name) != expected.get(name)
    }
    assert not differ, f"the store holds (left) what the model does not (right): {differ}"


def _visible(name: str, part: str | None, value: Any) -> StoreContent:
    """Return a key of a job as far as the model knows it."""
    if part is None:
        value = {"checkpoint_bytes": b"0"} | value
        return {name: {field: value[field].decode() for field in FIELDS if field in value}}
    if part == "checkpoints":
        return {name: {int(tick): json.loads(text)["bytes"] for tick, text in value.items()}}
    if part.startswith("attempt:"):
        fields = {key: text.decode() for key, text in value.items()}
        return {name: (int(fields["first_tick"]), int(fields["last_tick"]), fields.get("outcome"))}
    if part == "events":
        events = [event for event in map(json.loads, value) if event["type"] == "condition"]
        return {name: sorted(_told(event["data"]) for event in events)} if events else {}
    if part == "digests":
        return {name: sorted(value)}
    return {name: value} if part.startswith(("audit", "f32:", "sparse:")) else {}


def _expected_shared(world: World, ids: dict[int, str], tenant: str) -> StoreContent:
    """Return the sets that name jobs; an empty one is left out."""
    everyone = [ids[number] for number in sorted(world.jobs)]
    members = {number: keys.job_member(tenant, ids[number]) for number in world.jobs}
    running = [n for n, job in world.jobs.items() if job.status == "running"]
    queued = [members[number] for number in world.queued()]
    ended = [ids[n] for n, job in world.jobs.items() if job.is_terminal]
    unsealed = [n for n, job in world.jobs.items() if job.is_terminal and not job.is_finalized]
    shared: StoreContent = {
        keys.job_index(tenant): everyone,
        keys.job_index(tenant, "name", "n"): everyone,
        keys.job_index(tenant, "kind", "train"): everyone,
        keys.queued_jobs("cpu"): queued,
        keys.tenant_queue("cpu", tenant): queued,
        keys.waiting_tenants("cpu"): [tenant] * bool(queued),
        keys.ended_jobs(tenant): sorted(ended),
        keys.leases("cpu"): sorted(members[number] for number in running),
        keys.UNFINALIZED_JOBS: sorted(members[number] for number in unsealed),
        keys.tombstones(tenant): sorted(ids[number] for number in world.tombstones),
        keys.idempotency(tenant): {
            key: f"{'deleted' if number is None else ids[number]} {digest}".encode()
            for key, (number, digest) in world.keys.items()
        },
    }
    for status in STATUSES:
        of_status = [ids[n] for n in sorted(world.jobs) if world.jobs[n].status == status]
        shared[keys.job_index(tenant, "status", status)] = of_status
    usage = {
        "spec_bytes": sum(job.spec_bytes for job in world.jobs.values()),
        "artifact_bytes": sum(map(_file_bytes, world.jobs.values())),
    }
    counters = {name: str(size).encode() for name, size in usage.items() if size}
    shared = {name: value for name, value in shared.items() if value}
    return {**shared, keys.tenant_usage(tenant): counters}


def _file_bytes(job: ModelJob) -> int:
    """Return the bytes of a job's files; a segment that the machine moves has one."""
    return sum(job.checkpoints.values()) + job.segments_in_files


def _expected_job(job: ModelJob, tenant: str, job_id: str) -> StoreContent:
    """Return a job's own keys."""
    size = sum(job.checkpoints.values())
    fields = {
        "status": job.status, "term": job.term, "owner": job.nonce, "tick": job.tick,
        "requested": job.requested, "attempt": len(job.attempts), "deaths": job.deaths,
        "segments": job.segments_in_files, "stopped_by": job.stopped_by,
        "skipped": job.skipped,
        "sealed": 1 if job.is_finalized else None,
        "latest_checkpoint": job.latest, "checkpoint_bytes": size,
    }  # fmt: skip
    record = keys.job(tenant, job_id)
    expected: StoreContent = {
        record: {name: str(value) for name, value in fields.items() if value is not None},
        keys.checkpoints(tenant, job_id): job.checkpoints,
        keys.events(tenant, job_id): sorted(job.conditions.items()),
        keys.audit(tenant, job_id): [" ".join(map(str, entry)) for entry in job.audit],
        keys.segment_digests(tenant, job_id): [
            f"loss-{segment:02}.f32" for segment in range(job.segments_in_files)
        ],
    }
    for number, attempt in enumerate(job.attempts, 1):
        summary = (attempt.first, attempt.last, attempt.outcome)
        expected[keys.attempt(tenant, job_id, number)] = summary
    for segment in range(job.segments_in_files, segment_of(job.tick) + 1):
        losses = job.losses[segment * SEGMENT_TICKS : (segment + 1) * SEGMENT_TICKS]
        expected[keys.column(tenant, job_id, "loss", segment)] = _pack("I", losses)
        points = [
            item for t in sorted(job.states.items()) if segment_of(t[0]) == segment for item in t
        ]
        expected[keys.sparse(tenant, job_id, "state", segment)] = _pack("Q", points)
    return {name: value for name, value in expected.items() if value}


def _told(data: dict[str, Any]) -> tuple[str, int]:
    return data["condition"], data["tick"]


def _pack(kind: str, numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}{kind}", *numbers)


def read_records(content: StoreContent) -> dict[str, JobRecord]:
    """Read every job by its id, and check what must hold at any time."""
    by_id = {}
    for match in map(JOB_KEY.fullmatch, content):
        if match and match["part"] is None:
            tenant, job_id = keys.split_member(match["member"])
            by_id[job_id] = _read_record(content, tenant, job_id)
    return by_id


def _read_record(content: StoreContent, tenant: str, job_id: str) -> JobRecord:
    record, name = content[keys.job(tenant, job_id)], keys.job_member(tenant, job_id)
    status, term, tick, moved = (
        record[field].decode() for field in ("status", "term", "tick", "segments")
    )
    members_by_status = {
        other_status: content.get(keys.job_index(tenant, "status", other_status), [])
        for other_status in STATUSES
    }
    indexed = [
        other_status for other_status, members in members_by_status.items() if job_id in members
    ]
    assert indexed == [status], f"{job_id} is {status}, and is found as {indexed}"
    is_in_set = [
        name in content.get(set_key, [])
        for set_key in (keys.queued_jobs("cpu"), keys.leases("cpu"))
    ]
    assert is_in_set == [status == "queued", status == "running"], f"{job_id} is {status}: lost"
    _check_audit(content.get(keys.audit(tenant, job_id), []), int(tick))
    ticks: dict[int, int] = {}
    for segment in range(int(moved), segment_of(int(tick)) + 1):
        column = content.get(keys.column(tenant, job_id, "loss", segment), b"")
        bits = struct.unpack(f"<{len(column) // 4}I", column)
        ticks |= dict(enumerate(bits, segment * SEGMENT_TICKS + 1))
    assert list(ticks) == list(range(int(moved) * SEGMENT_TICKS + 1, int(tick) + 1)), "a hole"
    return JobRecord(status, int(term), int(tick), ticks)


def _check_audit(audit: list[str], tick: int) -> None:
    """Check the audit: one owner a term, growing terms, accepted ranges that cover every tick."""
    covered, terms = 0, []
    for entry in audit:
        term, _nonce, first, last = entry.split()
        assert int(first) <= covered + 1, f"no claim added the ticks before {first}: {audit}"
        covered = max(covered, int(last))
        terms.append(int(term))
    assert covered == tick, f"{tick} ticks are accepted, the audit knows {covered}: {audit}"
    assert all(a < b for a, b in zip(terms, terms[1:], strict=False)), f"terms fall: {audit}"


def check_transitions(before: dict[str, JobRecord], now: dict[str, JobRecord]) -> None:
    """Check that statuses changed as allowed, and that terms and ticks only grew."""
    for job_id, old in before.items():
        if job_id not in now:
            assert old.status in TERMINAL, f"{job_id} was {old.status} and is gone"
            continue
        new = now[job_id]
        legal = new.status == old.status or new.status in TRANSITIONS.get(old.status, ())
        assert legal, f"from {old.status} to {new.status}"
        assert new.term >= old.term and new.tick >= old.tick, f"from {old} to {new}"


def check_shown(shown: dict[str, dict[int, int]], now: dict[str, JobRecord]) -> None:
    """Check that every tick that was ever accepted still has its bits; add the new ones."""
    for job_id, record in now.items():
        known = shown.setdefault(job_id, {})
        changed = {
            tick for tick in record.ticks.keys() & known if record.ticks[tick] != known[tick]
        }
        assert not changed, f"what was accepted once has changed: {changed}"
        known |= record.ticks
