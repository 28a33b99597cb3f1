"""Downloads one file: resumes, verifies, then renames. Knows no job."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tickforge_client.errors import (
    CorruptDownload,
    DamagedOnServer,
    FileChanged,
    Unreachable,
)
from tickforge_client.http import ApiSession


@dataclass(frozen=True)
class RemoteFile:
    """A file on the server: URL path, size and hexadecimal SHA-256."""

    path: str
    bytes: int
    sha256: str


async def download_file(
    session: ApiSession,
    remote: RemoteFile,
    target: Path,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Download a file to `target`, unless it is already there with the right SHA-256.

    Received bytes are stored in NAME.part, from which the next call resumes. `on_bytes` is called
    with the number of bytes received so far. Raises CorruptDownload, Unreachable, and Problem:
    FileChanged where the server has another file now, DamagedOnServer where its file is damaged.
    """
    if target.is_file() and await session.call(_sha256, target) == remote.sha256:
        return
    part = target.with_name(target.name + ".part")
    is_resumed = part.exists()
    await _download_all(session, remote, part, on_bytes)
    if is_resumed and await session.call(_sha256, part) != remote.sha256:
        part.unlink()  # the old part is of another content
        await _download_all(session, remote, part, on_bytes)
    if (digest := await session.call(_sha256, part)) != remote.sha256:
        part.unlink()
        raise CorruptDownload(f"{target.name}: sha256 {digest}, {remote.sha256} expected")
    part.replace(target)


async def _download_all(
    session: ApiSession, remote: RemoteFile, part: Path, on_bytes: Callable[[int], None] | None
) -> None:
    """Append to `part` until it is complete; the back-off restarts whenever bytes arrive."""
    part.touch()
    backoff = session.new_backoff()
    while (received := part.stat().st_size) != remote.bytes:
        try:
            await _download_range(session, remote, part, received, on_bytes)
        except Unreachable as error:
            if part.stat().st_size > received:
                backoff = session.new_backoff()
            await backoff.wait(error)
        except (FileChanged, DamagedOnServer):
            part.unlink()  # what was received is of no use
            raise
        else:
            if part.stat().st_size != remote.bytes:
                part.unlink()
                raise CorruptDownload(f"{remote.path}: not the {remote.bytes} bytes announced")


async def _download_range(
    session: ApiSession,
    remote: RemoteFile,
    part: Path,
    received: int,
    on_bytes: Callable[[int], None] | None,
) -> None:
    etag = f'"{remote.sha256}"'
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "If-Match": etag}
    if 0 < received < remote.bytes:
        headers |= {"Range": f"bytes={received}-", "If-Range": etag}
    async with session.stream(remote.path, headers=headers) as response:
        with part.open("r+b") as file:
            content_range = response.headers.get("content-range", "")
            if response.status_code == 206 and content_range.startswith(f"bytes {received}-"):
                file.seek(received)
            else:
                file.truncate(0)
            # as they arrive: chunks of a fixed size would lose the last one of a broken connection
            async for piece in response.raw_pieces:
                file.write(piece)
                if on_bytes is not None:
                    on_bytes(file.tell())
            file.flush()
            await session.call(os.fsync, file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
