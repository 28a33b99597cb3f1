"""What must hold after every round, I1 to I8: each a function from evidence to violations.

Looks at records, at what clients were shown and at what is alive; never at a log. Asks nobody.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from faults.records import Evidence, Reference

ENDED = ("succeeded", "failed", "cancelled")
HANG_SECONDS = 5.0
#: beside the kept checkpoints: the first, the best, the final one, and one that is being made
EXTRA_CHECKPOINTS = 4
#: bytes of a manifest, for each checkpoint; the record counts what it lists
MANIFEST_BYTES = 8_192
ARCHIVE_BYTES = 1 << 20  # of what a lost store would be rebuilt from: no value of any tick


class Violation(NamedTuple):
    """A promise that was broken: which, and how."""

    invariant: str
    what: str


class Answered(NamedTuple):
    """One answer that a client had: None for a connection that was refused or cut."""

    request: str
    status: int | None
    problem: bool  # whether it came as problem+json
    seconds: float


def acknowledged(job_id: str, found: Evidence | None) -> list[Violation]:
    """I1: an acknowledged job exists, and has ended or stands where a worker will find it."""
    if found is None:
        return [Violation("I1", f"{job_id} is gone")]
    if found.status in (*ENDED, "paused"):
        return []
    place = {"queued": found.in_queue, "running": found.leased}
    if not place.get(found.status, False):
        return [Violation("I1", f"{job_id} is {found.status}, and in no set that is looked at")]
    return []


def shown(found: Evidence) -> list[Violation]:
    """I2: what clients were shown is a prefix of the history, and no terminal status changed."""
    if found.unreadable is not None:
        return [Violation("I2", found.unreadable)]
    loss, broken = found.columns.get("loss", b""), []
    if not loss.startswith(found.shown):
        tick = _first_difference(found.shown, loss)
        broken.append(Violation("I2", f"{found.job_id}: tick {tick} was shown with other bits"))
    last = [status for status in found.statuses if status in ENDED]
    if len(set(last)) > 1 or (last and found.status != last[-1]):
        told = " ".join([*found.statuses, found.status])
        broken.append(Violation("I2", f"{found.job_id}: an end was shown and changed: {told}"))
    return broken


def equal(found: Evidence, reference: Reference, *, cut_short: bool = False) -> list[Violation]:
    """I3: every bit is the undisturbed run's; `cut_short`: up to where somebody ended it."""
    broken = []
    for name, bits in found.columns.items():
        whole = reference.columns.get(name, b"")
        if bits != (whole[: len(bits)] if cut_short else whole):
            broken.append(f"{name} differs at tick {_first_difference(bits, whole)}")
    for name, points in found.points.items():
        broken += _points_differ(name, points, reference.points.get(name, {}), cut_short)
    for checkpoint in found.kept:
        if reference.weights.get(checkpoint.tick, checkpoint.sha256) != checkpoint.sha256:
            broken.append(f"the weights of checkpoint {checkpoint.tick} differ")
    if not cut_short:
        broken += _end_differs(found, reference)
    return [Violation("I3", f"{found.job_id}: {what}") for what in broken]


def in_order(found: Evidence) -> list[Violation]:
    """I4: terms never fall, a term has one owner, and ticks were accepted without a gap."""
    broken, owners, term, reached = [], dict[int, str](), 0, 0
    for entry in found.audit:
        if entry.term < term:
            broken.append(f"term {entry.term} wrote after term {term}")
        if owners.setdefault(entry.term, entry.nonce) != entry.nonce:
            broken.append(f"term {entry.term} had two owners")
        if entry.first > reached + 1:
            broken.append(f"tick {entry.first} was accepted behind tick {reached}")
        term, reached = max(term, entry.term), max(reached, entry.last)
    if reached != found.tick:
        broken.append(f"the audit ends at tick {reached}, the job is at {found.tick}")
    if term > found.attempts:
        broken.append(f"term {term} of {found.attempts} attempts")
    return [Violation("I4", f"{found.job_id}: {what}") for what in broken]


def verified(found: Evidence) -> list[Violation]:
    """I5: every committed checkpoint's files are, byte for byte, what was committed."""
    return [
        Violation("I5", f"{found.job_id}: checkpoint {tick} does not verify")
        for tick in found.damaged
    ]


def nothing_left(
    alive: Mapping[str, int], most: Mapping[str, int], ended: Iterable[Evidence]
) -> list[Violation]:
    """I6: no process beyond those of a whole service, no checkpoint folder that nothing names."""
    broken = [
        f"{count} processes are {role}, {most.get(role, 0)} should be at most"
        for role, count in alive.items()
        if count > most.get(role, 0)
    ]
    for found in ended:
        named = {checkpoint.folder for checkpoint in found.kept}
        broken += [
            f"{found.job_id}: nothing names {name}" for name in found.folders if name not in named
        ]
    return [Violation("I6", what) for what in broken]


def bounded(found: Evidence) -> list[Violation]:
    """I7, of one job: what it keeps on disk is what its record says and its spec allows."""
    broken = []
    if len(found.kept) > found.keep + EXTRA_CHECKPOINTS:
        broken.append(f"{len(found.kept)} checkpoints are kept of {found.keep}")
    archived = sum(size for name, size in found.disk.items() if name.startswith("archive/"))
    if archived > ARCHIVE_BYTES:
        broken.append(f"{archived} bytes of archive")
    most = found.recorded_bytes + MANIFEST_BYTES * (len(found.kept) + 1) + archived
    if found.status in ENDED and not found.sealed:
        broken.append("its history still lies in the store")
    elif found.status in ENDED and sum(found.disk.values()) > most:
        broken.append(f"its record says {found.recorded_bytes} bytes, on disk are {found.disk}")
    return [Violation("I7", f"{found.job_id}: {what}") for what in broken]


def bells_bounded(bells: int, waiting: int, most_forged: int = 0) -> list[Violation]:
    """I7, of a queue: bells that nobody has heard are no more than jobs that wait, and a few."""
    if bells > waiting + most_forged + 2:
        return [Violation("I7", f"{bells} bells for {waiting} jobs that wait")]
    return []


def clear(answers: Iterable[Answered], patience: float = HANG_SECONDS) -> list[Violation]:
    """I8: a 5xx says what is wrong, and nothing hangs."""
    broken = []
    for answer in answers:
        if answer.status is not None and answer.status >= 500 and not answer.problem:
            broken.append(f"{answer.request}: {answer.status} without a problem")
        if answer.seconds > patience:
            broken.append(f"{answer.request}: {answer.status} after {answer.seconds:.1f} s")
    return [Violation("I8", what) for what in broken]


def _points_differ(
    name: str, points: Mapping[int, int], whole: Mapping[int, int], cut_short: bool
) -> list[str]:
    """State digests lie where checkpoints were made, by faults too; all else lies where it must."""
    common = {tick: bits for tick, bits in points.items() if tick in whole}
    broken = [f"{name} of tick {t} differs" for t, bits in common.items() if bits != whole[t]]
    if name != "state" and not cut_short and points.keys() != whole.keys():
        broken.append(f"{name} has other ticks: {sorted(points.keys() ^ whole.keys())[:5]}")
    return broken


def _end_differs(found: Evidence, reference: Reference) -> list[str]:
    ends = (found.status, found.tick, found.stopped_by)
    due = (reference.status, reference.tick, reference.stopped_by)
    return [] if ends == due else [f"it ended as {ends}, undisturbed as {due} ({found.error})"]


def _first_difference(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return at // 4 + 1
