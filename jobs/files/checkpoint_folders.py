"""Checkpoint folders: created, published, verified, read, removed. Knows no tensor and no store.

A trainer saves into a new folder; `publish` adds a manifest and renames it to <tick>-t<term>. A
folder of such a name is complete and never changes. It is a checkpoint once the ledger has
committed it.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from jobs import fault_points
from jobs.files.artifacts import (
    ArtifactStore,
    UnsafePath,
    hash_file,
    make_folder,
    purge_trash,
    remove_tree,
    sync_folder,
)
from jobs.files.shared_code import share_code
from jobs.job import Checkpoint, CheckpointFile, Lease
from jobs.timestamps import now_rfc3339
from jobs.values import finite_or_none

WEIGHTS_FILE = "model.safetensors"
MANIFEST_FILE = "manifest.json"
FILE_PATTERN = re.compile(r"[a-z0-9_]{1,60}\.(safetensors|json|py)")
# a second save of the same tick and term gets a suffix: the first one never changes
FOLDER_PATTERN = re.compile(r"\d+-t(\d+)(?:-[0-9a-f]+)?")
UNFINISHED_PATTERN = re.compile(r"tmp-t(\d+)-[0-9a-f]+")


class DamagedCheckpoint(Exception):
    """A checkpoint's folder is not as its record says; it must not be used."""


class NoSuchFile(LookupError):
    """The checkpoint lists no file of this name."""


def new_folder(files: ArtifactStore, lease: Lease) -> Path:
    """Make an empty folder for a trainer to save into."""
    parent = _checkpoints_folder(files, lease.tenant, lease.job_id)
    make_folder(parent)
    folder = parent / f"tmp-t{lease.term}-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)  # durable with its final name
    return folder


def publish(
    files: ArtifactStore,
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
    """Make a saved folder durable under its final name, read it back, and return its record.

    On any failure the folder is removed. Raises OSError (a full disk), UnsafePath, or
    DamagedCheckpoint for unexpected files or bytes that read back differently.
    """
    parent = _checkpoints_folder(files, lease.tenant, lease.job_id)
    assert tmp.parent == parent, "only a folder of new_folder becomes a checkpoint"
    folder = _make_free_name(parent, f"{tick}-t{lease.term}")
    try:
        shared_bytes = share_code(files, parent.parent, tmp)
        entries = _list_files(files, tmp)
        checkpoint = Checkpoint(
            tick=tick,
            created_at=now_rfc3339(),
            bytes=sum(file.bytes for file in entries),
            metrics={name: finite_or_none(value) for name, value in metrics.items()},
            sha256=next(file.sha256 for file in entries if file.name == WEIGHTS_FILE),
            files=entries,
            is_best=is_best,
            is_final=is_final,
            periodic=periodic,
            folder=folder,
            state=state,
            term=lease.term,
            shared_bytes=shared_bytes,
        )
        write_manifest(files, tmp, checkpoint)
        fault_points.hit("checkpoint:rename")
        os.rename(tmp, parent / folder)
        sync_folder(parent)
        check_folder(files, parent / folder, checkpoint)
    except BaseException:
        remove_tree(tmp)
        if not tmp.exists():
            remove_tree(parent / folder)
        raise
    return checkpoint


def files_match(files: ArtifactStore, tenant: str, job_id: str, checkpoint: Checkpoint) -> bool:
    """Return whether the folder is as its record says, byte for byte. Reads all of it."""
    return not damaged_files(files, tenant, job_id, checkpoint)


def damaged_files(
    files: ArtifactStore, tenant: str, job_id: str, checkpoint: Checkpoint
) -> list[str]:
    """Return the names of files that are not as the record says, or missing. Reads all of them."""
    try:
        folder = folder_path(files, tenant, job_id, checkpoint)
    except UnsafePath:
        return [entry.name for entry in checkpoint.files]
    return _damaged_names(files, folder, checkpoint)


def folder_path(files: ArtifactStore, tenant: str, job_id: str, checkpoint: Checkpoint) -> Path:
    """Return a checkpoint's folder. Raises UnsafePath if its record has no valid name."""
    if not FOLDER_PATTERN.fullmatch(checkpoint.folder):
        raise UnsafePath(f"not a checkpoint's folder: {checkpoint.folder!r}")
    return _checkpoints_folder(files, tenant, job_id) / checkpoint.folder


def open_file(
    files: ArtifactStore, tenant: str, job_id: str, checkpoint: Checkpoint, name: str
) -> tuple[BinaryIO, CheckpointFile]:
    """Open a file that the checkpoint lists; return it with its entry.

    Raises NoSuchFile for a name that is not listed, and DamagedCheckpoint for a file that is
    missing or of another size. Its bytes are not hashed here: the client compares them with
    `sha256`.
    """
    entry = next((entry for entry in checkpoint.files if entry.name == name), None)
    if entry is None or not FILE_PATTERN.fullmatch(name):
        raise NoSuchFile(name)
    return _open_entry(files, folder_path(files, tenant, job_id, checkpoint) / name, entry), entry


def remove_folder(files: ArtifactStore, tenant: str, job_id: str, checkpoint: Checkpoint) -> None:
    """Remove a checkpoint's folder, whole or not at all, if it exists."""
    remove_tree(folder_path(files, tenant, job_id, checkpoint))


def remove_orphans(
    files: ArtifactStore,
    tenant: str,
    job_id: str,
    folders_to_keep: set[str],
    *,
    term: int | None = None,
) -> None:
    """Remove what crashes left: unfinished folders, and others not in `folders_to_keep`.

    With `term` only folders of this and earlier terms, so that a holder that has lost its lease
    removes nothing of the next one's.
    """
    parent = _checkpoints_folder(files, tenant, job_id)
    if not parent.is_dir():
        return
    for name in os.listdir(parent):
        match = FOLDER_PATTERN.fullmatch(name) or UNFINISHED_PATTERN.fullmatch(name)
        if match and name not in folders_to_keep and (term is None or int(match[1]) <= term):
            remove_tree(parent / name)
    purge_trash(parent)


def expired_ticks(
    checkpoints: Iterable[Checkpoint], new: Checkpoint, keep_count: int, first: int = 0
) -> list[int]:
    """Return the ticks to drop once `new` is committed, oldest first; never `new` itself.

    What stays: the newest `keep_count` periodic ones, that of `first` (the state that the job
    begins with), the best (the newest that was best when it was saved), the final one and pinned
    ones.
    """
    by_tick = {checkpoint.tick: checkpoint for checkpoint in [*checkpoints, new]}
    best = max((tick for tick, checkpoint in by_tick.items() if checkpoint.is_best), default=0)
    removable = {
        tick: checkpoint
        for tick, checkpoint in sorted(by_tick.items())
        if tick not in (first, best) and not checkpoint.is_final and not checkpoint.pinned
    }
    periodic = [tick for tick, checkpoint in removable.items() if checkpoint.periodic]
    not_periodic = [tick for tick, checkpoint in removable.items() if not checkpoint.periodic]
    return [tick for tick in sorted([*periodic[:-keep_count], *not_periodic]) if tick != new.tick]


def write_manifest(files: ArtifactStore, folder: Path, checkpoint: Checkpoint) -> None:
    """Write the manifest of a checkpoint into its folder, durably. Raises OSError."""
    text = json.dumps(_make_manifest(checkpoint), indent=1)
    files.write(folder / MANIFEST_FILE, text.encode())


def check_folder(files: ArtifactStore, folder: Path, checkpoint: Checkpoint) -> None:
    """Raise DamagedCheckpoint unless the manifest and each file are as the record says."""
    if names := _damaged_names(files, folder, checkpoint):
        raise DamagedCheckpoint(f"{folder.name}: {', '.join(names)}: not what was saved")


def _checkpoints_folder(files: ArtifactStore, tenant: str, job_id: str) -> Path:
    return files.job_folder(tenant, job_id) / "checkpoints"


def _make_free_name(parent: Path, name: str) -> str:
    return f"{name}-{secrets.token_hex(4)}" if (parent / name).exists() else name


def _list_files(files: ArtifactStore, folder: Path) -> list[CheckpointFile]:
    """List the files that a trainer saved, after making each durable."""
    names = sorted(os.listdir(folder))
    if unexpected := [
        name for name in names if not FILE_PATTERN.fullmatch(name) or name == MANIFEST_FILE
    ]:
        raise DamagedCheckpoint(f"files that should not be there: {', '.join(unexpected)}")
    if WEIGHTS_FILE not in names:
        raise DamagedCheckpoint(f"{WEIGHTS_FILE} is missing")
    return [_make_entry(files, folder / name) for name in names]


def _make_entry(files: ArtifactStore, file: Path) -> CheckpointFile:
    with files.open(file) as opened:
        os.fsync(opened.fileno())
        size = os.fstat(opened.fileno()).st_size
        return CheckpointFile(name=file.name, bytes=size, sha256=hash_file(opened))


def _make_manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the contents of manifest.json: the checkpoint for clients, state digest, term."""
    return checkpoint.model_dump(mode="json") | {"state": checkpoint.state, "term": checkpoint.term}


def _damaged_names(files: ArtifactStore, folder: Path, checkpoint: Checkpoint) -> list[str]:
    has_manifest = _lists_files(files, folder / MANIFEST_FILE, checkpoint)
    entries = [entry.name for entry in checkpoint.files if not _is_intact(files, folder, entry)]
    return entries if has_manifest else [*entries, MANIFEST_FILE]


def _is_intact(files: ArtifactStore, folder: Path, entry: CheckpointFile) -> bool:
    try:
        with _open_entry(files, folder / entry.name, entry) as file:
            return hash_file(file) == entry.sha256
    except (DamagedCheckpoint, UnsafePath, OSError):
        return False


def _lists_files(files: ArtifactStore, path: Path, checkpoint: Checkpoint) -> bool:
    """Return whether a manifest lists exactly the files of the record."""
    try:
        with files.open(path) as file:
            manifest = json.load(file)
    except (OSError, UnsafePath, ValueError):
        return False
    expected = [entry.model_dump() for entry in checkpoint.files]
    return isinstance(manifest, dict) and manifest.get("files") == expected


def _open_entry(files: ArtifactStore, file: Path, entry: CheckpointFile) -> BinaryIO:
    try:
        opened = files.open(file)
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{file.parent.name}/{file.name} is missing") from error
    if os.fstat(opened.fileno()).st_size != entry.bytes:
        opened.close()
        raise DamagedCheckpoint(f"{file.parent.name}/{file.name} has not its size")
    return opened
