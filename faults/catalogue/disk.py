"""Faults of the disk: no room at a write, sync or rename; bytes flipped, cut or missing."""

import os
from pathlib import Path

from faults.attack import Attack, JobUnderTest
from faults.catalogue.entries import fault
from faults.records import TENANT
from jobs.fault_points import Action
from jobs.files import checkpoint_folders
from jobs.queries.jobs import JobQueries

REFUSALS: tuple[Action, ...] = ("enospc", "enospc", "erofs", "eacces", "eio")
SAVE_POINTS = ("checkpoint:write", "checkpoint:fsync", "file:write", "file:fsync", "file:rename")


@fault(
    "F13", "a full, read-only or broken disk at a write, a sync or a rename of a checkpoint",
    weight=6,
)  # fmt: skip
def fill_disk_while_saving(attack: Attack) -> None:
    job = attack.new_job(attack.rng.choice(["momentum", "large"]))
    for point in attack.rng.sample(SAVE_POINTS, 4):
        refusal = attack.rng.choice(REFUSALS)
        attack.arm(point, refusal, job, nth=attack.rng.randint(1, 8))
    attack.add_check(lambda: _check_event(attack, job))


def _check_event(attack: Attack, job: JobUnderTest) -> str | None:
    """Return a check that a failed save is among the job's events."""
    points = [armed.fault["point"] for armed in attack.armed_faults if armed.has_fired]
    if not any(point.startswith("checkpoint:") for point in points):
        return None
    page = attack.context.watcher.request("GET", f"/v1/jobs/{job.job_id}/events")
    is_reported = page is not None and "checkpoint_error" in page.text
    return None if is_reported else "a checkpoint was not saved, and no event says so"


@fault(
    "F13.final", "no room for the final checkpoint: the job waits, and has it in the end", weight=2
)
def fill_disk_at_end(attack: Attack) -> None:
    job = attack.new_job("replayed")
    attack.arm("checkpoint:write", "enospc", job, nth=attack.rng.randint(1, 5))
    attack.arm("checkpoint:fsync", "enospc", job, nth=attack.rng.randint(1, 5))


@fault("F13.segment", "no room for a segment of the history that moves to files", weight=1)
def fill_disk_while_moving(attack: Attack) -> None:
    job = attack.new_job("replayed")
    attack.arm("segment:write", "enospc", job, nth=attack.rng.randint(1, 3))


@fault("F18", "a committed checkpoint damaged: a bit flipped, cut, missing", weight=2)
def damage_checkpoint(attack: Attack) -> None:
    job = attack.new_job()
    is_saved = attack.wait_for(lambda: job.observed.job.get("latest_checkpoint") or job.is_over, 20)
    if not is_saved or not attack.request(job, "pause"):
        return
    attack.wait_for(lambda: job.observed.job.get("status") in ("paused", "succeeded"), 20)
    if job.observed.job.get("status") == "paused":
        attack.record_fault(_damage_newest(attack, job))
        attack.wait_for(lambda: attack.request(job, "resume"), 10)


def _damage_newest(attack: Attack, job: JobUnderTest) -> str:
    """Damage the newest checkpoint in one of the ways a disk may."""
    service = attack.service
    newest = JobQueries(service.store).list_checkpoints(TENANT, job.job_id)[-1]
    folder = checkpoint_folders.folder_path(service.files, TENANT, job.job_id, newest)
    file = folder / attack.rng.choice([entry.name for entry in newest.files] + ["manifest.json"])
    damage = attack.rng.choice(["flipped", "cut", "missing"])
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        os.truncate(file, file.stat().st_size // 2)
    else:
        _flip_bit(attack, file)
    return f"checkpoint {newest.tick}: {file.name} {damage}"


def _flip_bit(attack: Attack, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[attack.rng.randrange(len(data))] ^= 1 << attack.rng.randrange(8)
    file.write_bytes(bytes(data))
