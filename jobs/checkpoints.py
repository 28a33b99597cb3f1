"""Checkpoint folders: begun, completed, verified, opened, removed. Knows no tensor and no store.

A trainer saves into a fresh folder; `complete` lists it in a manifest and gives it its name,
<tick>-t<term>. A folder under such a name is whole and never changes. It counts once the ledger
has committed it, which is not done here.
"""

import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from jobs import fault_points
from jobs.files import (
    Files,
    UnsafePath,
    digest,
    finish_removals,
    make_folder,
    remove_tree,
    sync_folder,
)
from jobs.job import Checkpoint, CheckpointFile, Lease

WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"
FILE = re.compile(r"[a-z0-9_]{1,60}\.(safetensors|json|py)")
# a second save of one tick under one term gets a suffix, for the first one never changes
FOLDER = re.compile(r"\d+-t(\d+)(?:-[0-9a-f]+)?")
UNFINISHED = re.compile(r"tmp-t(\d+)-[0-9a-f]+")


class DamagedCheckpoint(Exception):
    """A checkpoint's folder does not hold what it must; the checkpoint must not count."""


class NoSuchFile(LookupError):
    """A checkpoint's manifest names no such file."""


def begin(files: Files, lease: Lease) -> Path:
    """Make a fresh, empty folder for a trainer to save into."""
    home = _home(files, lease.tenant, lease.job_id)
    folder = home / f"tmp-t{lease.term}-{secrets.token_hex(8)}"
    make_folder(folder)
    return folder


def complete(
    files: Files,
    lease: Lease,
    tmp: Path,
    *,
    tick: int,
    state: str,
    metrics: Mapping[str, float | None],
    is_best: bool,
    is_final: bool,
    periodic: bool = True,
) -> Checkpoint:
    """Make the saved folder a durable checkpoint under its own name, and read it back.

    Any failure (a full disk, a file that should not be there, bytes that read back differently)
    removes the folder and is raised: OSError, UnsafePath or DamagedCheckpoint.
    """
    home = _home(files, lease.tenant, lease.job_id)
    assert tmp.parent == home, "only what `begin` made becomes a checkpoint"
    folder = _free_name(home, f"{tick}-t{lease.term}")
    try:
        saved = _listed(files, tmp)
        checkpoint = Checkpoint(
            tick=tick,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            bytes=sum(file.bytes for file in saved),
            metrics={name: _finite(value) for name, value in metrics.items()},
            sha256=next(file.sha256 for file in saved if file.name == WEIGHTS),
            files=saved,
            is_best=is_best,
            is_final=is_final,
            periodic=periodic,
            folder=folder,
            state=state,
            term=lease.term,
        )
        files.write(tmp / MANIFEST, json.dumps(_manifest(checkpoint), indent=1).encode())
        fault_points.point("checkpoint:rename")
        os.rename(tmp, home / folder)
        sync_folder(home)
        _check(files, home / folder, checkpoint)
    except BaseException:
        remove_tree(tmp)
        if not tmp.exists():
            remove_tree(home / folder)
        raise
    return checkpoint


def verify(files: Files, tenant: str, job_id: str, checkpoint: Checkpoint) -> bool:
    """Whether the folder holds, byte for byte, what was committed. Reads all of it."""
    try:
        _check(files, path(files, tenant, job_id, checkpoint), checkpoint)
    except (DamagedCheckpoint, UnsafePath, OSError):
        return False
    return True


def path(files: Files, tenant: str, job_id: str, checkpoint: Checkpoint) -> Path:
    """Return a checkpoint's folder; raises UnsafePath if its record names no folder of ours."""
    if not FOLDER.fullmatch(checkpoint.folder):
        raise UnsafePath(f"not a checkpoint's folder: {checkpoint.folder!r}")
    return _home(files, tenant, job_id) / checkpoint.folder


def open_file(
    files: Files, tenant: str, job_id: str, checkpoint: Checkpoint, name: str
) -> tuple[BinaryIO, CheckpointFile]:
    """Open one of the files that the checkpoint lists, by its name: the file and its entry.

    Raises NoSuchFile for any other name, whatever lies in the folder, and DamagedCheckpoint when
    a listed file is not there or has not its size (its digest is the reader's to check).
    """
    entry = next((entry for entry in checkpoint.files if entry.name == name), None)
    if entry is None or not FILE.fullmatch(name):
        raise NoSuchFile(name)
    folder = path(files, tenant, job_id, checkpoint)
    return _open(files, folder / name, entry), entry


def remove(files: Files, tenant: str, job_id: str, checkpoint: Checkpoint) -> None:
    """Remove a checkpoint's folder, whole or not at all; one that is gone is fine."""
    remove_tree(path(files, tenant, job_id, checkpoint))


def sweep(
    files: Files, tenant: str, job_id: str, keep: set[str], *, term: int | None = None
) -> None:
    """Remove what crashes left: unfinished folders, and finished ones that are not in `keep`.

    With `term` only folders of this term and earlier ones go, so that a holder that has lost its
    lease takes nothing from the next.
    """
    home = _home(files, tenant, job_id)
    if not home.is_dir():
        return
    for name in os.listdir(home):
        found = FOLDER.fullmatch(name) or UNFINISHED.fullmatch(name)
        if found and name not in keep and (term is None or int(found[1]) <= term):
            remove_tree(home / name)
    finish_removals(home)


def retention(checkpoints: Iterable[Checkpoint], new: Checkpoint, keep: int) -> list[int]:
    """Return the ticks to drop once `new` is committed, oldest first; never `new` itself.

    `keep` counts the periodic ones, the newest stay; beside them stay tick 0, the best (the newest
    that was best when it was saved), the final one and pinned ones. One that was saved as best
    alone goes when there is a better one.
    """
    all_of_them = {each.tick: each for each in [*checkpoints, new]}
    best = max((tick for tick, each in all_of_them.items() if each.is_best), default=0)
    others = {
        tick: each
        for tick, each in sorted(all_of_them.items())
        if tick not in (0, best) and not each.is_final and not each.pinned
    }
    periodic = [tick for tick, each in others.items() if each.periodic]
    outdone = [tick for tick, each in others.items() if not each.periodic]
    return [tick for tick in sorted([*periodic[:-keep], *outdone]) if tick != new.tick]


def _home(files: Files, tenant: str, job_id: str) -> Path:
    return files.job(tenant, job_id) / "checkpoints"


def _free_name(home: Path, name: str) -> str:
    return f"{name}-{secrets.token_hex(4)}" if (home / name).exists() else name


def _listed(files: Files, folder: Path) -> list[CheckpointFile]:
    """List what a trainer saved, each file brought to disk."""
    names = sorted(os.listdir(folder))
    if odd := [name for name in names if not FILE.fullmatch(name) or name == MANIFEST]:
        raise DamagedCheckpoint(f"files that should not be there: {', '.join(odd)}")
    if WEIGHTS not in names:
        raise DamagedCheckpoint(f"{WEIGHTS} is missing")
    return [_entry(files, folder / name) for name in names]


def _entry(files: Files, file: Path) -> CheckpointFile:
    with files.open(file) as opened:
        os.fsync(opened.fileno())
        size = os.fstat(opened.fileno()).st_size
        return CheckpointFile(name=file.name, bytes=size, sha256=digest(opened))


def _manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    """What manifest.json holds: the checkpoint as clients see it, its state's digest and term."""
    seen: dict[str, Any] = checkpoint.model_dump(mode="json")
    return {**seen, "state": checkpoint.state, "term": checkpoint.term}


def _check(files: Files, folder: Path, checkpoint: Checkpoint) -> None:
    """Raise DamagedCheckpoint unless the manifest and each file are what the record says."""
    listed = [entry.model_dump() for entry in checkpoint.files]
    if _read_manifest(files, folder).get("files") != listed:
        raise DamagedCheckpoint(f"{folder.name}: the manifest lists other files")
    for entry in checkpoint.files:
        with _open(files, folder / entry.name, entry) as file:
            if digest(file) != entry.sha256:
                raise DamagedCheckpoint(f"{folder.name}/{entry.name} has other bytes")


def _read_manifest(files: Files, folder: Path) -> dict[str, Any]:
    try:
        with files.open(folder / MANIFEST) as file:
            read = json.load(file)
    except (FileNotFoundError, ValueError) as error:
        raise DamagedCheckpoint(f"{folder.name}: no manifest, or a torn one") from error
    return read if isinstance(read, dict) else {}


def _open(files: Files, file: Path, entry: CheckpointFile) -> BinaryIO:
    try:
        opened = files.open(file)
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{file.parent.name}/{file.name} is missing") from error
    if os.fstat(opened.fileno()).st_size != entry.bytes:
        opened.close()
        raise DamagedCheckpoint(f"{file.parent.name}/{file.name} has not its size")
    return opened


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
