"""Copies of a checkpoint into the folder of another job, with manifests of their own.

A copy shares no file with the original: neither a removal nor a damage of the one touches the
other. It is read back and compared with the original's record. Knows no store.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from jobs import fault_points
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, create_file, make_folder, sync_folder
from jobs.files.shared_code import share_code
from jobs.job import Checkpoint, CheckpointFile
from jobs.timestamps import now_rfc3339

#: bytes that are brought to disk before each sign of life
BLOCK_BYTES = 16 << 20
#: of the folder: no lease has saved it
NO_TERM = 0


def copy_checkpoint(
    files: ArtifactStore,
    tenant: str,
    source_job: str,
    source: Checkpoint,
    job_folder: Path,
    replaced: Mapping[str, bytes],
    on_progress: Callable[[], None],
    *,
    is_best: bool,
    is_periodic: bool,
) -> Checkpoint:
    """Copy a job's checkpoint below `job_folder`, durably, and return the record of the copy.

    `replaced` has the contents of files that differ from the original's. `on_progress` is called
    at every BLOCK_BYTES. Raises OSError, or DamagedCheckpoint for an original that is not as its
    record says.
    """
    folder = job_folder / "checkpoints" / f"{source.tick}-t{NO_TERM}"
    make_folder(folder)
    entries = []
    for entry in source.files:
        fault_points.hit("fork:copy")
        if entry.name in replaced:
            data = replaced[entry.name]
            digest = files.write(folder / entry.name, data)
            entries.append(CheckpointFile(name=entry.name, bytes=len(data), sha256=digest))
            continue
        opened, _ = checkpoint_folders.open_file(files, tenant, source_job, source, entry.name)
        with opened:
            copy_file(opened, folder / entry.name, on_progress)
        entries.append(entry)
    copy = source.model_copy(
        update={
            "name": None,
            "pinned": False,
            "created_at": now_rfc3339(),
            "bytes": sum(entry.bytes for entry in entries),
            "files": entries,
            "is_best": is_best,
            "is_final": False,
            "periodic": is_periodic,
            "folder": folder.name,
            "term": NO_TERM,
            "shared_bytes": share_code(files, job_folder, folder),
        }
    )
    checkpoint_folders.write_manifest(files, folder, copy)
    sync_folder(folder.parent)
    checkpoint_folders.check_folder(files, folder, copy)
    return copy


def copy_file(source: BinaryIO, target: Path, on_progress: Callable[[], None]) -> None:
    """Copy one file durably."""
    with create_file(target) as file:
        while block := source.read(BLOCK_BYTES):
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            on_progress()
