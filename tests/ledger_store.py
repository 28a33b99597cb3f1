"""What the store holds of jobs, read in one go, and held against the model and the contract.

`compare` asks for the model's very state; `records` and `check_moves` for what the contract says of
any state, whatever the model thinks of it.
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
from tests.ledger_owners import ENDED, MOVES, SEGMENT, Job, segment_of

Found = dict[str, Any]  # key -> value
Dumped = dict[bytes, bytes]  # key -> the server's own form of its value
READ = """
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
    "sealed", "latest_checkpoint", "checkpoint_bytes",
)  # fmt: skip
OF_JOB = re.compile(r"job:\{(?P<member>[^}]*)\}(?::(?P<part>.*))?")
BY_TIME = ("leases:", "tombstones:")  # the model has no clock
SHARED = re.compile(r"index:.*|queued:.*|leases:.*|tombstones:.*|idempotency:.*|jobs:unsealed")


@dataclass(frozen=True)
class Record:
    """What anybody can see of a job."""

    status: str
    term: int
    tick: int
    ticks: dict[int, int]  # those that lie in the store


def read(store: "redis.Redis") -> Found:
    """Read every key; hashes as dicts, sorted sets as lists in their order, streams as ''."""
    found: Found = {}
    reply: Any = store.eval(READ, 0)
    for name, kind, value in reply:
        if kind == b"hash":
            value = dict(zip(map(bytes.decode, value[::2]), value[1::2], strict=True))
        elif kind == b"set":
            value = sorted(map(bytes.decode, value))
        elif kind in (b"list", b"zset"):
            value = [each.decode() for each in value]
        found[name.decode()] = value
    return found


def dump(store: "redis.Redis") -> Dumped:
    """All that the store holds."""
    names: list[bytes] = list(store.scan_iter("*"))
    dumped: Dumped = {name: store.dump(name) for name in names}  # type: ignore[misc]
    return dumped


def put_back(store: "redis.Redis", dumped: Dumped) -> None:
    """Let the store hold this and nothing else."""
    store.flushall()
    for name, value in dumped.items():
        store.restore(name, 0, value)


def compare(found: Found, world: World, ids: dict[int, str], tenant: str) -> None:
    """Whether the store holds the world and nothing else."""
    actual = {name: value for name, value in found.items() if SHARED.fullmatch(name)}
    actual |= {name: sorted(actual[name]) for name in actual if name.startswith(BY_TIME)}
    live = {keys.job_member(tenant, ids[number]) for number in world.jobs}
    for name, value in found.items():
        if of := OF_JOB.fullmatch(name):
            assert of["member"] in live, f"{name} is left of a job that is gone"
            actual |= _seen(name, of["part"], value)
    expected: Found = _shared(world, ids, tenant)
    for number, job in world.jobs.items():
        expected |= _of_job(job, tenant, ids[number])
    differ = {
        name: (actual.get(name), expected.get(name))
        for name in actual.keys() | expected.keys()
        if actual.get(name) != expected.get(name)
    }
    assert not differ, f"the store holds (left) what the model does not (right): {differ}"


def _seen(name: str, part: str | None, value: Any) -> Found:
    """A job's key as far as the model knows it."""
    if part is None:
        value = {"checkpoint_bytes": b"0"} | value
        return {name: {field: value[field].decode() for field in FIELDS if field in value}}
    if part == "checkpoints":
        return {name: {int(tick): json.loads(text)["bytes"] for tick, text in value.items()}}
    if part.startswith("attempt:"):
        told = {key: text.decode() for key, text in value.items()}
        return {name: (int(told["first_tick"]), int(told["last_tick"]), told.get("outcome"))}
    if part == "digests":
        return {name: sorted(value)}
    return {name: value} if part.startswith(("audit", "f32:", "sparse:")) else {}


def _shared(world: World, ids: dict[int, str], tenant: str) -> Found:
    """The sets that name jobs; an empty one is not there."""
    everyone = [ids[number] for number in sorted(world.jobs)]
    members = {number: keys.job_member(tenant, ids[number]) for number in world.jobs}
    running = [n for n, job in world.jobs.items() if job.status == "running"]
    unsealed = [n for n, job in world.jobs.items() if job.ended and not job.sealed]
    shared: Found = {
        keys.job_index(tenant): everyone,
        keys.job_index(tenant, "name", "n"): everyone,
        keys.job_index(tenant, "kind", "train"): everyone,
        keys.queued_jobs("cpu"): [members[number] for number in world.queued()],
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
    return {name: value for name, value in shared.items() if value}


def _of_job(job: Job, tenant: str, job_id: str) -> Found:
    """A job's own keys."""
    size = sum(job.checkpoints.values())
    fields = {
        "status": job.status, "term": job.term, "owner": job.nonce, "tick": job.tick,
        "requested": job.requested, "attempt": len(job.attempts), "deaths": job.deaths,
        "segments": job.moved, "stopped_by": job.stopped_by, "sealed": 1 if job.sealed else None,
        "latest_checkpoint": job.latest, "checkpoint_bytes": size,
    }  # fmt: skip
    record = keys.job(tenant, job_id)
    held: Found = {
        record: {name: str(value) for name, value in fields.items() if value is not None},
        keys.checkpoints(tenant, job_id): job.checkpoints,
        keys.audit(tenant, job_id): [" ".join(map(str, entry)) for entry in job.audit],
        keys.segment_digests(tenant, job_id): [
            f"loss-{segment:02}.f32" for segment in range(job.moved)
        ],
    }
    for number, attempt in enumerate(job.attempts, 1):
        told = (attempt.first, attempt.last, attempt.outcome)
        held[keys.attempt(tenant, job_id, number)] = told
    for segment in range(job.moved, segment_of(job.tick) + 1):
        losses = job.losses[segment * SEGMENT : (segment + 1) * SEGMENT]
        held[keys.column(tenant, job_id, "loss", segment)] = _packed("I", losses)
        points = [
            each for t in sorted(job.states.items()) if segment_of(t[0]) == segment for each in t
        ]
        held[keys.sparse(tenant, job_id, "state", segment)] = _packed("Q", points)
    return {name: value for name, value in held.items() if value}


def _packed(kind: str, numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}{kind}", *numbers)


def records(found: Found) -> dict[str, Record]:
    """Read every job by its id, and check what must be true of it at any time."""
    seen = {}
    for of in map(OF_JOB.fullmatch, found):
        if of and of["part"] is None:
            tenant, job_id = keys.split_member(of["member"])
            seen[job_id] = _checked(found, tenant, job_id)
    return seen


def _checked(found: Found, tenant: str, job_id: str) -> Record:
    record, name = found[keys.job(tenant, job_id)], keys.job_member(tenant, job_id)
    status, term, tick, moved = (
        record[field].decode() for field in ("status", "term", "tick", "segments")
    )
    of_status = {each: found.get(keys.job_index(tenant, "status", each), []) for each in STATUSES}
    indexed = [each for each, of_them in of_status.items() if job_id in of_them]
    assert indexed == [status], f"{job_id} is {status}, and is found as {indexed}"
    reachable = [
        name in found.get(where, []) for where in (keys.queued_jobs("cpu"), keys.leases("cpu"))
    ]
    assert reachable == [status == "queued", status == "running"], f"{job_id} is {status}: lost"
    _check_audit(found.get(keys.audit(tenant, job_id), []), int(tick))
    ticks: dict[int, int] = {}
    for segment in range(int(moved), segment_of(int(tick)) + 1):
        column = found.get(keys.column(tenant, job_id, "loss", segment), b"")
        bits = struct.unpack(f"<{len(column) // 4}I", column)
        ticks |= dict(enumerate(bits, segment * SEGMENT + 1))
    assert list(ticks) == list(range(int(moved) * SEGMENT + 1, int(tick) + 1)), "a hole"
    return Record(status, int(term), int(tick), ticks)


def _check_audit(audit: list[str], tick: int) -> None:
    """One owner a term, terms only grow, and what they added covers every tick."""
    upto, terms = 0, []
    for entry in audit:
        term, _nonce, first, last = entry.split()
        assert int(first) <= upto + 1, f"nobody added the ticks before {first}: {audit}"
        upto = max(upto, int(last))
        terms.append(int(term))
    assert upto == tick, f"{tick} ticks are accepted, the audit knows {upto}: {audit}"
    assert all(a < b for a, b in zip(terms, terms[1:], strict=False)), f"terms fall: {audit}"


def check_moves(before: dict[str, Record], now: dict[str, Record]) -> None:
    """Whether every job went from one status to the next as it may, its term and tick only up."""
    for job_id, old in before.items():
        if job_id not in now:
            assert old.status in ENDED, f"{job_id} was {old.status} and is gone"
            continue
        new = now[job_id]
        legal = new.status == old.status or new.status in MOVES.get(old.status, ())
        assert legal, f"from {old.status} to {new.status}"
        assert new.term >= old.term and new.tick >= old.tick, f"from {old} to {new}"


def check_shown(shown: dict[str, dict[int, int]], now: dict[str, Record]) -> None:
    """Whether every tick that anybody was ever shown still has its bits; note the new ones."""
    for job_id, record in now.items():
        had = shown.setdefault(job_id, {})
        changed = {tick for tick in record.ticks.keys() & had if record.ticks[tick] != had[tick]}
        assert not changed, f"what was accepted once has changed: {changed}"
        had |= record.ticks
