"""model.onnx of checkpoints: made on demand, beside the files of the checkpoint, in its folder.

It lies there as model.<sha256>.onnx, so that one rename publishes the file with its digest. It is
no part of the checkpoint: no manifest lists it, nothing compares it, no copy takes it along, and it
goes with the folder. Another one is made where it is missing. Knows no store.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, hash_file, sync_folder
from jobs.job import Checkpoint
from jobs.timestamps import format_rfc3339

ONNX_FILE = "model.onnx"
PUBLISHED_PATTERN = re.compile(r"model\.([0-9a-f]{64})\.onnx")
DRAFTS = ".model.onnx.*.tmp"


class ExportedFile(NamedTuple):
    """An open model.onnx. `modified_at` is RFC 3339."""

    file: BinaryIO
    path: Path
    bytes: int
    sha256: str
    modified_at: str


def find_exported(
    files: ArtifactStore, tenant: str, job_id: str, checkpoint: Checkpoint
) -> ExportedFile | None:
    """Open a checkpoint's model.onnx; return None if there is none. Raises UnsafePath."""
    folder = checkpoint_folders.folder_path(files, tenant, job_id, checkpoint)
    with suppress(FileNotFoundError):  # removed meanwhile, or the whole checkpoint
        for name in sorted(os.listdir(folder)):
            if match := PUBLISHED_PATTERN.fullmatch(name):
                file = files.open(folder / name)
                status = os.fstat(file.fileno())
                modified_at = format_rfc3339(status.st_mtime_ns // 1_000_000)
                return ExportedFile(file, folder / name, status.st_size, match[1], modified_at)
    return None


def new_draft(folder: Path) -> Path:
    """Return the path of a new file to write a model.onnx to; removes what attempts before left."""
    for left in folder.glob(DRAFTS):
        left.unlink(missing_ok=True)
    return folder / DRAFTS.replace("*", secrets.token_hex(8))


def publish_draft(files: ArtifactStore, draft: Path) -> None:
    """Let a draft be the checkpoint's model.onnx, durably.

    Raises FileNotFoundError where the checkpoint has been removed.
    """
    with files.open(draft) as file:
        os.fsync(file.fileno())
        sha256 = hash_file(file)
    published = draft.with_name(f"model.{sha256}.onnx")
    os.rename(draft, published)
    for name in os.listdir(draft.parent):  # of other versions of the packages
        if PUBLISHED_PATTERN.fullmatch(name) and name != published.name:
            (draft.parent / name).unlink(missing_ok=True)
    sync_folder(draft.parent)
