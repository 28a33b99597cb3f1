"""The invariants I1 to I8 that must hold after every round: functions from evidence to violations.

They look at records, at what clients were shown and at living processes; never at a log.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from faults.records import Evidence, Reference
from jobs.job import TERMINAL_STATUSES

MAX_ANSWER_SECONDS = 5.0
#: checkpoints beside the periodic ones: initial, best, final, and one that is being saved
MAX_EXTRA_CHECKPOINTS = 4
#: bytes of a manifest, for each checkpoint; the record counts what it lists
MAX_MANIFEST_BYTES = 8_192
MAX_CODE_BYTES = 65_536
MAX_ARCHIVE_BYTES = 1 << 20  # of what a lost store would be rebuilt from: no value of any tick


class Violation(NamedTuple):
    """A broken invariant: which one, and how."""

    invariant: str
    what: str


class RecordedResponse(NamedTuple):
    """A response that a client got; status None for a connection that was refused or cut."""

    request: str
    status: int | None
    is_problem: bool  # whether it came as problem+json
    seconds: float


def check_acknowledged(job_id: str, evidence: Evidence | None) -> list[Violation]:
    """I1: an acknowledged job exists, and has ended or is where a worker will find it."""
    if evidence is None:
        return [Violation("I1", f"{job_id} is gone")]
    if evidence.status in (*TERMINAL_STATUSES, "paused"):
        return []
    is_findable = {"queued": evidence.in_queue, "running": evidence.leased}
    if not is_findable.get(evidence.status, False):
        return [Violation("I1", f"{job_id} is {evidence.status}, and in no set that is looked at")]
    return []


def check_shown(evidence: Evidence) -> list[Violation]:
    """I2: what clients were shown is a prefix of the history, and no terminal status changed."""
    if evidence.unreadable is not None:
        return [Violation("I2", evidence.unreadable)]
    loss, messages = evidence.columns.get("loss", b""), []
    if not loss.startswith(evidence.shown):
        messages.append(f"tick {_first_difference(evidence.shown, loss)} was shown with other bits")
    last = [status for status in evidence.statuses if status in TERMINAL_STATUSES]
    if len(set(last)) > 1 or (last and evidence.status != last[-1]):
        statuses = " ".join([*evidence.statuses, evidence.status])
        messages.append(f"an end was shown and changed: {statuses}")
    return [Violation("I2", f"{evidence.job_id}: {message}") for message in messages]


def check_equal(
    evidence: Evidence, reference: Reference, *, cut_short: bool = False
) -> list[Violation]:
    """I3: every bit equals the undisturbed run's; `cut_short`: up to where a request ended it."""
    messages = []
    for name, bits in evidence.columns.items():
        expected = reference.columns.get(name, b"")
        if bits != (expected[: len(bits)] if cut_short else expected):
            messages.append(f"{name} differs at tick {_first_difference(bits, expected)}")
    for name, points in evidence.points.items():
        messages += _point_differences(name, points, reference.points.get(name, {}), cut_short)
    for checkpoint in evidence.checkpoints:
        if reference.weights.get(checkpoint.tick, checkpoint.sha256) != checkpoint.sha256:
            messages.append(f"the weights of checkpoint {checkpoint.tick} differ")
    if not cut_short:
        messages += _end_differences(evidence, reference)
    return [Violation("I3", f"{evidence.job_id}: {message}") for message in messages]


def check_order(evidence: Evidence) -> list[Violation]:
    """I4: terms never fall, a term has one owner, and ticks were accepted without a gap."""
    messages, owners, term, reached = [], dict[int, str](), 0, 0
    for entry in evidence.audit:
        if entry.term < term:
            messages.append(f"term {entry.term} wrote after term {term}")
        if owners.setdefault(entry.term, entry.nonce) != entry.nonce:
            messages.append(f"term {entry.term} had two owners")
        if entry.first > reached + 1:
            messages.append(f"tick {entry.first} was accepted behind tick {reached}")
        term, reached = max(term, entry.term), max(reached, entry.last)
    if reached != evidence.tick:
        messages.append(f"the audit ends at tick {reached}, the job is at {evidence.tick}")
    if term > evidence.attempts:
        messages.append(f"term {term} of {evidence.attempts} attempts")
    return [Violation("I4", f"{evidence.job_id}: {message}") for message in messages]


def check_checkpoint_files(evidence: Evidence) -> list[Violation]:
    """I5: the files of every committed checkpoint are the committed bytes."""
    messages = [f"checkpoint {tick} does not verify" for tick in evidence.damaged]
    return [Violation("I5", f"{evidence.job_id}: {message}") for message in messages]


def check_nothing_left(
    alive: Mapping[str, int], max_counts: Mapping[str, int], ended: Iterable[Evidence]
) -> list[Violation]:
    """I6: no process beyond those of a whole service, no checkpoint folder without a record."""
    messages = []
    for role, count in alive.items():
        if count > (max_count := max_counts.get(role, 0)):
            messages.append(f"{count} processes are {role}, {max_count} should be at most")
    for evidence in ended:
        listed = {checkpoint.folder for checkpoint in evidence.checkpoints}
        unlisted = [name for name in evidence.folders if name not in listed]
        messages += [f"{evidence.job_id}: nothing names {name}" for name in unlisted]
    return [Violation("I6", message) for message in messages]


def check_disk_use(evidence: Evidence) -> list[Violation]:
    """I7, for one job: its files are what its record lists and its spec allows."""
    messages, count, recorded = [], len(evidence.checkpoints), evidence.recorded_bytes
    if count > evidence.keep + MAX_EXTRA_CHECKPOINTS:
        messages.append(f"{count} checkpoints are kept of {evidence.keep}")
    archived = sum(size for name, size in evidence.disk.items() if name.startswith("archive/"))
    if archived > MAX_ARCHIVE_BYTES:
        messages.append(f"{archived} bytes of archive")
    max_bytes = recorded + MAX_MANIFEST_BYTES * (count + 1) + archived
    if not count:  # that of a save which was never committed
        max_bytes += MAX_CODE_BYTES
    if evidence.status in TERMINAL_STATUSES and not evidence.sealed:
        messages.append("its history still lies in the store")
    elif evidence.status in TERMINAL_STATUSES and sum(evidence.disk.values()) > max_bytes:
        messages.append(f"its record says {recorded} bytes, on disk are {evidence.disk}")
    return [Violation("I7", f"{evidence.job_id}: {message}") for message in messages]


def check_wakeups(wakeups: int, queued_jobs: int, max_forged: int = 0) -> list[Violation]:
    """I7, for a queue: pending wake-ups are at most a few more than waiting jobs."""
    if wakeups > queued_jobs + max_forged + 2:
        return [Violation("I7", f"{wakeups} wake-ups for {queued_jobs} queued jobs")]
    return []


def check_responses(
    responses: Iterable[RecordedResponse], max_seconds: float = MAX_ANSWER_SECONDS
) -> list[Violation]:
    """I8: every 5xx has a problem body, and no request hangs."""
    messages = []
    for response in responses:
        if response.status is not None and response.status >= 500 and not response.is_problem:
            messages.append(f"{response.request}: {response.status} without a problem")
        if response.seconds > max_seconds:
            messages.append(f"{response.request}: {response.status} after {response.seconds:.1f} s")
    return [Violation("I8", message) for message in messages]


def _point_differences(
    name: str, points: Mapping[int, int], expected: Mapping[int, int], cut_short: bool
) -> list[str]:
    """Compare sparse points: state digests lie at checkpoints, also at those that faults caused."""
    common = {tick: bits for tick, bits in points.items() if tick in expected}
    messages = [f"{name} of tick {t} differs" for t, bits in common.items() if bits != expected[t]]
    if name != "state" and not cut_short and points.keys() != expected.keys():
        messages.append(f"{name} has other ticks: {sorted(points.keys() ^ expected.keys())[:5]}")
    return messages


def _end_differences(evidence: Evidence, reference: Reference) -> list[str]:
    ends = (evidence.status, evidence.tick, evidence.stopped_by)
    expected = (reference.status, reference.tick, reference.stopped_by)
    if ends == expected:
        return []
    return [f"it ended as {ends}, undisturbed as {expected} ({evidence.error})"]


def _first_difference(first: bytes, second: bytes) -> int:
    pairs = zip(first, second, strict=False)
    offset = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    return offset // 4 + 1
