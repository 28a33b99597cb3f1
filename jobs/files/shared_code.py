"""A job's `model.py`, which is the same in all its checkpoints: on disk once, by its content.

code/<sha256>.py in the job's folder and the `model.py` of each checkpoint are hard links to one
file. So a checkpoint's folder is whole by itself: readers, digests and removals know nothing of
this, and neither does a copy of the folder that makes files of the links. Where a link cannot be
made, the checkpoint has a file of its own.
"""

import os
import secrets
from pathlib import Path

from jobs import fault_points
from jobs.files.artifacts import ArtifactStore, UnsafePath

CODE_FILE = "model.py"
CODE_FOLDER = "code"


def share_code(files: ArtifactStore, job_folder: Path, checkpoint_folder: Path) -> int:
    """Make the code of an unpublished checkpoint a link to the job's; return the bytes shared.

    0: it has no code, or a link could not be made. The file must be durable already. The job's link
    need not be: a power cut that takes it costs a later checkpoint a file of its own.
    """
    own = checkpoint_folder / CODE_FILE
    fault_points.hit("checkpoint:share")
    try:
        sha256 = files.compute_sha256(own)
        shared = job_folder / CODE_FOLDER / f"{sha256}.py"
        shared.parent.mkdir(mode=0o700, exist_ok=True)
        if _is_intact(files, shared, sha256):
            _replace(own, shared)
        else:  # the first of its content, or the one before is damaged
            _replace(shared, own)
        return own.stat().st_size
    except (OSError, UnsafePath):  # no links here, or too many; the disk is full
        return 0


def _is_intact(files: ArtifactStore, path: Path, sha256: str) -> bool:
    try:
        return files.compute_sha256(path) == sha256
    except (FileNotFoundError, UnsafePath):
        return False


def _replace(path: Path, by: Path) -> None:
    """Make `path` a link to `by`; an error leaves it as it is."""
    link = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        os.link(by, link)
        os.rename(link, path)
    finally:
        link.unlink(missing_ok=True)
