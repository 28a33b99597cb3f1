"""Each invariant of the fault suite sees what breaks it: good evidence, and the same tampered."""

import struct
from dataclasses import replace
from typing import Any

import pytest

from faults import invariants
from faults.invariants import RecordedResponse, Violation
from faults.records import AuditEntry, Evidence, Reference
from jobs.job import Checkpoint

TICKS = 40
LOSSES = struct.pack(f"<{TICKS}f", *(1 / tick for tick in range(1, TICKS + 1)))
STATE = {20: 0xABCDEF, 40: 0x123456}


def checkpoint(tick: int, weights: str = "5" * 64) -> Checkpoint:
    return Checkpoint(
        tick=tick, created_at="2026-01-01T00:00:00.000Z", bytes=100, metrics={}, sha256=weights,
        files=[], is_best=False, is_final=tick == TICKS, periodic=True, folder=f"{tick}-t1",
        state=f"{STATE[tick]:016x}", term=1,
    )  # fmt: skip


def evidence(**changes: Any) -> Evidence:
    """A job that succeeded after one crash, as its records should tell it."""
    whole = Evidence(
        job_id="job_x", status="succeeded", tick=TICKS, stopped_by="budget", error=None,
        attempts=2, recorded_bytes=1000, keep=2, sealed=True, in_queue=False, leased=False,
        columns={"loss": LOSSES},
        points={"state": dict(STATE), "val_loss": {TICKS: 1}},
        unreadable=None,
        audit=[AuditEntry(1, "a", 1, 25), AuditEntry(2, "b", 21, TICKS)],
        checkpoints=[checkpoint(20), checkpoint(40)], damaged=[],
        folders=["20-t1", "40-t1"], disk={"history/loss": 900}, shown=LOSSES[: 4 * 30],
        statuses=["queued", "running", "succeeded"],
    )  # fmt: skip
    return replace(whole, **changes)


def reference(**changes: Any) -> Reference:
    whole = Reference(
        "succeeded", TICKS, "budget", {"loss": LOSSES},
        {"state": dict(STATE), "val_loss": {TICKS: 1}}, {20: "5" * 64, 40: "5" * 64},
    )  # fmt: skip
    return replace(whole, **changes)


def flipped(data: bytes, tick: int) -> bytes:
    """Losses with the lowest bit of one tick's changed."""
    at = 4 * (tick - 1)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_evidence_as_it_should_be_breaks_nothing() -> None:
    intact = evidence()

    assert not invariants.check_acknowledged("job_x", intact)
    assert not invariants.check_shown(intact)
    assert not invariants.check_equal(intact, reference())
    assert not invariants.check_order(intact)
    assert not invariants.check_checkpoint_files(intact)
    assert not invariants.check_nothing_left({"worker": 2}, {"worker": 2}, [intact])
    assert not invariants.check_disk_use(intact)
    assert not invariants.check_responses(
        [RecordedResponse("GET /", 503, True, 4.5), RecordedResponse("GET /", None, False, 1)]
    )


def only(broken: list[Violation], invariant: str, words: str) -> None:
    """There is one violation, of this invariant, that says this."""
    assert len(broken) == 1 and broken[0].invariant == invariant, broken
    assert words in broken[0].what


@pytest.mark.parametrize(
    ("lost_evidence", "words"),
    [
        (None, "is gone"),
        (evidence(status="queued"), "in no set"),
        (evidence(status="running", in_queue=True), "in no set"),
    ],
)
def test_i1_sees_a_lost_job(lost_evidence: Evidence | None, words: str) -> None:
    only(invariants.check_acknowledged("job_x", lost_evidence), "I1", words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shown": flipped(LOSSES, 7)}, "tick 7 was shown"),
        ({"shown": LOSSES + b"\0\0\0\0"}, "tick 41 was shown"),
        ({"statuses": ["succeeded", "running", "failed"]}, "an end was shown and changed"),
        ({"statuses": ["cancelled"]}, "an end was shown and changed"),
        ({"unreadable": "loss/000000.f32 has not its size"}, "has not its size"),
    ],
)
def test_i2_sees_a_changed_past(changes: dict[str, Any], words: str) -> None:
    only(invariants.check_shown(evidence(**changes)), "I2", words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"loss": flipped(LOSSES, 33)}}, "loss differs at tick 33"),
        ({"columns": {"loss": LOSSES[:-4]}}, "loss differs at tick 40"),
        ({"points": {"state": {20: 1, 40: STATE[40]}, "val_loss": {TICKS: 1}}}, "state of tick 20"),
        ({"points": {"val_loss": {}}}, "val_loss has other ticks: [40]"),
        ({"checkpoints": [checkpoint(20, "6" * 64)]}, "weights of checkpoint 20"),
        ({"status": "failed", "error": "trainer"}, "it ended as"),
        ({"stopped_by": "user"}, "it ended as"),
    ],
)
def test_i3_sees_another_bit(changes: dict[str, Any], words: str) -> None:
    only(invariants.check_equal(evidence(**changes), reference()), "I3", words)


def test_i3_compares_the_part_that_a_shortened_job_ran() -> None:
    half = evidence(
        status="cancelled", tick=20, stopped_by=None, columns={"loss": LOSSES[: 4 * 20]},
        points={"state": {20: STATE[20]}}, checkpoints=[],
    )  # fmt: skip
    assert not invariants.check_equal(half, reference(), cut_short=True)
    wrong = replace(half, columns={"loss": flipped(LOSSES, 3)[: 4 * 20]})
    only(invariants.check_equal(wrong, reference(), cut_short=True), "I3", "tick 3")


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        ([AuditEntry(2, "b", 1, 30), AuditEntry(1, "a", 31, 40)], "term 1 wrote after term 2"),
        ([AuditEntry(1, "a", 1, 30), AuditEntry(1, "b", 31, 40)], "term 1 had two owners"),
        (
            [AuditEntry(1, "a", 1, 20), AuditEntry(2, "b", 22, 40)],
            "tick 22 was accepted behind tick 20",
        ),
        ([AuditEntry(1, "a", 1, 39)], "ends at tick 39"),
        ([AuditEntry(3, "c", 1, 40)], "term 3 of 2 attempts"),
        ([], "ends at tick 0"),
    ],
)
def test_i4_sees_two_owners(audit: list[AuditEntry], words: str) -> None:
    only(invariants.check_order(evidence(audit=audit)), "I4", words)


def test_i5_sees_a_damaged_checkpoint() -> None:
    only(invariants.check_checkpoint_files(evidence(damaged=[20])), "I5", "checkpoint 20")


def test_i6_sees_leftover_processes_and_folders() -> None:
    only(
        invariants.check_nothing_left({"trainer": 1}, {"worker": 2}, []),
        "I6",
        "1 processes are trainer",
    )
    orphan = evidence(folders=["20-t1", "40-t1", "tmp-t1-00"])
    only(invariants.check_nothing_left({}, {}, [orphan]), "I6", "nothing names tmp-t1-00")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checkpoints": [checkpoint(20)] * 9}, "9 checkpoints"),
        ({"disk": {"history/loss": 90_000}}, "90000"),
        ({"disk": {"archive/1": 2 << 20}}, "of archive"),
        ({"sealed": False}, "still lies in the store"),
    ],
)
def test_i7_sees_unbounded_disk_use(changes: dict[str, Any], words: str) -> None:
    only(invariants.check_disk_use(evidence(**changes)), "I7", words)


def test_i7_sees_too_many_wakeups() -> None:
    assert not invariants.check_wakeups(5, 3)
    only(invariants.check_wakeups(9, 3), "I7", "9 wake-ups for 3 queued jobs")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (RecordedResponse("GET /v1/jobs", 500, False, 0.1), "500 without a problem"),
        (RecordedResponse("GET /v1/jobs", 200, False, 5.1), "after 5.1 s"),
        (RecordedResponse("GET /v1/jobs", None, False, 9.0), "after 9.0 s"),
    ],
)
def test_i8_sees_an_unclear_or_late_answer(answer: RecordedResponse, words: str) -> None:
    only(invariants.check_responses([answer]), "I8", words)
