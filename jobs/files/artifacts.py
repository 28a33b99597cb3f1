"""Artifact files of jobs: durable writes, guarded reads, removal. Knows no Redis and no format.

Every path is made from names that were validated: no unchecked string of a client is part of one.
A job's folder is root/<tenant>/<job_id>/{log.txt, checkpoints/, code/, history/, archive/}.
root/tickforge.archive cannot be a tenant's, since no tenant has a dot in its name.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from jobs import fault_points
from jobs.errors import DiskUnavailable, StoreFull

NAME_PATTERN = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: of a disk that is read-only, withdrawn, broken or closed to this user
DISK_REFUSAL_ERRNOS = (
    errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EUCLEAN, errno.ENODEV, errno.ENXIO,
    errno.ESTALE, errno.ENOTCONN,
)  # fmt: skip


class UnsafePath(ValueError):
    """A name or path may not be part of an artifact's path; nothing was touched."""


class ArtifactStore:
    """The artifacts under one local folder. Keeps no file open and has no state but the root."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self.root, self._min_free_bytes = root.absolute(), min_free_bytes

    def job_folder(self, tenant: str, job_id: str) -> Path:
        """Return the job's folder, which may not exist. Raises UnsafePath for an invalid name."""
        return self.root / validate_name(tenant) / validate_name(job_id)

    def write(self, path: Path, data: bytes | memoryview) -> str:
        """Write a file, durable when this returns; return the sha256 of `data` in hex.

        It replaces an older file whole or not at all: an error, such as a full disk, leaves no
        partial and no temporary file.
        """
        (digest,) = self.write_all({path: data})
        return digest

    def write_all(self, contents: Mapping[Path, bytes | memoryview]) -> list[str]:
        """Write files as `write` does, each folder synced once for all; return their sha256.

        An error may leave some of the files in their places.
        """
        for path in contents:
            self._relative_parts(path)
        folders = dict.fromkeys(path.parent for path in contents)
        make_folders(folders)
        with _temporary_paths(contents) as temporary:
            for path, data in contents.items():
                _write_durably(temporary[path], data)
            for path in contents:
                fault_points.hit("file:rename")
                os.rename(temporary.pop(path), path)
        for folder in folders:
            sync_folder(folder)
        return [hashlib.sha256(data).hexdigest() for data in contents.values()]

    def check_free_space(self, needed: int = 0) -> None:
        """Raise StoreFull if `needed` bytes would leave fewer than `min_free_bytes` free.

        Running jobs need those.
        """
        folder = self.root  # or the nearest parent, before the first artifact
        while not folder.exists():
            folder = folder.parent
        if (free_bytes := shutil.disk_usage(folder).free) < self._min_free_bytes + needed:
            reserve = f"{self._min_free_bytes} are kept for what runs"
            reserve = f"{needed} are needed, and {reserve}" if needed else reserve
            raise StoreFull(f"{free_bytes} bytes of disk are free, and {reserve}")

    def close_to_others(self) -> None:
        """Close the root and its folders, which earlier builds left open, to other users.

        What lies below is out of reach then. A folder of another owner, such as a mounted volume,
        is left as it is.
        """
        with contextlib.suppress(FileNotFoundError):
            for path in (self.root, *self.root.iterdir()):
                if not path.is_symlink() and path.stat().st_mode & 0o077:
                    with contextlib.suppress(OSError):
                        path.chmod(path.stat().st_mode & 0o700)

    def open(self, path: Path) -> BinaryIO:
        """Open a regular file for reading, following no symbolic link below the root.

        Raises FileNotFoundError, or UnsafePath for anything but a regular file.
        """
        *folders, name = self._relative_parts(path)
        folder = os.open(self.root, FOLDER_FLAGS)
        try:
            for inner in folders:
                outer, folder = folder, _open_at(folder, inner, FOLDER_FLAGS)
                os.close(outer)
            opened = _open_at(folder, name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise UnsafePath(f"{path} is not a plain file")
        return open(path, "rb", opener=lambda _path, _flags: opened)  # its name is the path

    def compute_sha256(self, path: Path) -> str:
        """Return the sha256 of a file in hex."""
        with self.open(path) as file:
            return hash_file(file)

    def remove_job(self, tenant: str, job_id: str) -> None:
        """Remove all files of a job. Safe to repeat, also after an interrupted removal."""
        folder = self.job_folder(tenant, job_id)
        remove_tree(folder)
        purge_trash(folder.parent, job_id)

    def _relative_parts(self, path: Path) -> tuple[str, ...]:
        if not path.is_relative_to(self.root) or ".." in path.parts or path == self.root:
            raise UnsafePath(f"{path} is not inside {self.root}")
        return path.relative_to(self.root).parts


def validate_name(name: str) -> str:
    """Return `name` if it may be part of a path (a-z, 0-9, _, -), else raise UnsafePath."""
    if not NAME_PATTERN.fullmatch(name):
        raise UnsafePath(f"not a name of an artifact's folder: {name!r}")
    return name


def hide_new_files() -> None:
    """Let whatever this process and its children make be its user's alone: 0600, folders 0700."""
    os.umask(0o077)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, all durable: each parent is synced."""
    make_folders([path])


def make_folders(paths: Iterable[Path]) -> None:
    """Make folders and their missing parents, all durable: each parent is synced once."""
    missing: dict[Path, None] = {}
    for path in paths:
        above = [path, *path.parents]
        count = next(number for number, folder in enumerate(above) if folder.is_dir())
        missing |= dict.fromkeys(reversed(above[:count]))
    for folder in missing:
        folder.mkdir(mode=0o700, exist_ok=True)
    for parent in dict.fromkeys(folder.parent for folder in missing):
        sync_folder(parent)


def create_file(path: Path) -> BinaryIO:
    """Create a file for writing that its owner alone may read."""
    return os.fdopen(os.open(path, NEW_FILE_FLAGS, 0o600), "wb")


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable: files created, renamed or removed in it."""
    folder = os.open(path, FOLDER_FLAGS)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_tree(path: Path) -> None:
    """Remove a folder and its contents, if it exists.

    It is renamed first, so that readers see it whole or not at all, even if the removal is
    interrupted.
    """
    trash = path.parent / f".{path.name}.{secrets.token_hex(8)}.gone"
    try:
        os.rename(path, trash)
    except FileNotFoundError:
        return
    _erase(trash)
    sync_folder(trash.parent)


def purge_trash(folder: Path, name: str = "*") -> None:
    """Remove what interrupted removals of `name` left in `folder`."""
    for trash in folder.glob(f".{name}.*.gone"):
        _erase(trash)


@contextlib.contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Raise StoreFull for an OSError of a full disk or quota, else DiskUnavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise StoreFull("the disk is full") from error
        if error.errno in DISK_REFUSAL_ERRNOS:
            raise DiskUnavailable(f"the disk says: {error.strerror}") from error
        raise


def hash_file(file: BinaryIO) -> str:
    """Return the sha256 in hex of a file from its position on, read in blocks."""
    return hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()


def _write_durably(path: Path, data: bytes | memoryview) -> None:
    with create_file(path) as file:
        fault_points.hit("file:write")
        file.write(data)
        file.flush()
        fault_points.hit("file:fsync")
        os.fsync(file.fileno())


@contextlib.contextmanager
def _temporary_paths(paths: Iterable[Path]) -> Iterator[dict[Path, Path]]:
    """Yield a path to write to for each path; those that are left at the end are removed."""
    temporary = {path: path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp" for path in paths}
    try:
        yield temporary
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def _erase(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, onerror=_ignore_missing)


def _ignore_missing(
    _function: object, _path: object, info: tuple[object, BaseException, object]
) -> None:
    if not isinstance(info[1], FileNotFoundError):  # another process may be removing it too
        raise info[1]


def _open_at(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # a link, or no folder
            raise UnsafePath(f"{name} is a link or no folder") from error
        raise
