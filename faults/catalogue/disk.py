"""What befalls the files: no room at a write, a sync or a rename; bytes flipped, cut, missing."""

import os
from pathlib import Path

from faults.attack import Attack, Trained
from faults.catalogue.entries import fault
from faults.records import TENANT
from jobs.files import checkpoint_folders
from jobs.queries.jobs import JobQueries

SAVING = ("checkpoint:write", "checkpoint:fsync", "file:write", "file:fsync", "file:rename")


@fault("F13", "no room on the disk at a write, a sync or a rename of a checkpoint", weight=6)
def full_while_saving(attack: Attack) -> None:
    job = attack.job(attack.dice.choice(["momentum", "large"]))
    for point in attack.dice.sample(SAVING, 4):
        attack.arm(point, "enospc", job, nth=attack.dice.randint(1, 8))
    attack.promise(lambda: _told(attack, job))


def _told(attack: Attack, job: Trained) -> str | None:
    """A save that failed is among the job's events."""
    fired = [each for each in attack.armed if each.fired and each.fault["point"][:4] == "chec"]
    if not fired:
        return None
    page = attack.scene.watcher.ask("GET", f"/v1/jobs/{job.job_id}/events")
    said = page is not None and "checkpoint_error" in page.text
    return None if said else "a checkpoint was not saved, and no event says so"


@fault("F13.final", "no room for the final checkpoint: it waits, and is there in the end", weight=2)
def full_at_the_end(attack: Attack) -> None:
    job = attack.job("replayed")
    attack.arm("checkpoint:write", "enospc", job, nth=attack.dice.randint(1, 5))
    attack.arm("checkpoint:fsync", "enospc", job, nth=attack.dice.randint(1, 5))


@fault("F13.segment", "no room for a part of the history that moves to files", weight=1)
def full_while_moving(attack: Attack) -> None:
    job = attack.job("replayed")
    attack.arm("segment:write", "enospc", job, nth=attack.dice.randint(1, 3))


@fault("F18", "a committed checkpoint damaged: a bit flipped, cut, missing", weight=2)
def damaged(attack: Attack) -> None:
    job = attack.job()
    if not attack.until(lambda: job.seen.job.get("latest_checkpoint") or job.over, 20):
        return
    if not attack.ask(job, "pause"):
        return
    attack.until(lambda: job.seen.job.get("status") in ("paused", "succeeded"), 20)
    if job.seen.job.get("status") == "paused":
        attack.strike(_damage(attack, job))
        attack.until(lambda: attack.ask(job, "resume"), 10)


def _damage(attack: Attack, job: Trained) -> str:
    """Harm the newest checkpoint in one of the ways a disk may."""
    house = attack.house
    newest = JobQueries(house.store).list_checkpoints(TENANT, job.job_id)[-1]
    folder = checkpoint_folders.folder_path(house.files, TENANT, job.job_id, newest)
    file = folder / attack.dice.choice([each.name for each in newest.files] + ["manifest.json"])
    how = attack.dice.choice(["flipped", "cut", "missing"])
    if how == "missing":
        file.unlink()
    elif how == "cut":
        os.truncate(file, file.stat().st_size // 2)
    else:
        _flip(attack, file)
    return f"checkpoint {newest.tick}: {file.name} {how}"


def _flip(attack: Attack, file: Path) -> None:
    data = bytearray(file.read_bytes())
    at = attack.dice.randrange(len(data))
    data[at] ^= 1 << attack.dice.randrange(8)
    file.write_bytes(bytes(data))
