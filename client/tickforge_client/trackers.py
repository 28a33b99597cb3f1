"""Exports jobs to folders of experiment trackers: TensorBoard event files, offline runs of W&B.

Knows no command, and needs no package of a tracker.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

from tickforge_client.errors import UnexpectedAnswer
from tickforge_client.export_state import Export, lock_folder, new_version
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path
from tickforge_client.transport import StreamedResponse

EVENT_FILE = re.compile(r"events\.out\.tfevents\.\d+\.job_[a-z0-9]+")
RUN_MEMBER = re.compile(r"offline-run-\d{8}_\d{6}-job_[a-z0-9]+(/run-job_[a-z0-9]+\.wandb)?")


async def export_events(session: ApiSession, export: Export) -> Export:
    """Append what is new to a job's event file; return how far it is.

    Bytes that another process has appended since are written again: they are the same.
    """
    async with lock_folder(export.folder, session.sleep):
        if not export.is_whole:
            export = Export(export.job_id, export.tracker, export.query, export.folder)
        async with _open_export(session, export, after=export.tick) as response:
            if response.status_code == 304:
                return export
            name = EVENT_FILE.search(response.headers.get("content-disposition", ""))
            if name is None:
                raise UnexpectedAnswer("the server did not name its event file")
            target = replace(export, file=export.file or name.group())
            start = export.bytes if export.tick else 0  # before the first tick all comes again
            with target.path.open("r+b" if start else "wb") as file:
                file.seek(start)
                await _write_pieces(session, response, file)
                size = file.tell()
        return await _save_progress(session, replace(target, bytes=size), response)


async def export_run(session: ApiSession, export: Export) -> Export:
    """Write a job's run anew if it has changed; return where it is."""
    directory = export.folder.parent
    async with _open_export(session, export) as response:
        if response.status_code == 304:
            return export
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / f".{export.job_id}.tar.{secrets.token_hex(4)}.part"
        try:
            with part.open("wb") as file:
                await _write_pieces(session, response, file)
            member = await session.call(_find_run, part)
            path = directory / member
            async with lock_folder(path.parent, session.sleep):
                await session.call(_extract_run, part, member, path)
        finally:
            part.unlink(missing_ok=True)
    size = path.stat().st_size
    run = replace(export, folder=path.parent, file=path.name, bytes=size)
    return await _save_progress(session, run, response)


#: tracker -> what exports a job to it
EXPORTERS: dict[str, Callable[[ApiSession, Export], Awaitable[Export]]] = {
    "tensorboard": export_events,
    "wandb": export_run,
}


@asynccontextmanager
async def _open_export(
    session: ApiSession, export: Export, **range_options: int
) -> AsyncIterator[StreamedResponse]:
    path = api_path("jobs", export.job_id, "export", export.tracker)
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if export.etag is not None:
        headers["If-None-Match"] = export.etag
    params = {**dict(parse_qsl(export.query)), **range_options}
    async with session.stream(path, params=params, headers=headers) as response:
        yield response


async def _write_pieces(session: ApiSession, response: StreamedResponse, file: BinaryIO) -> None:
    """Write a body at a file's position, as its end, and have it on disk."""
    async for piece in response.raw_pieces:
        file.write(piece)
    file.truncate()
    file.flush()
    await session.call(os.fsync, file.fileno())


def _find_run(tar_path: Path) -> str:
    """Return the name of the one file of a run, which has its folder."""
    with tarfile.open(tar_path, mode="r:") as tar:
        members = tar.getmembers()
        strange = [member.name for member in members if not RUN_MEMBER.fullmatch(member.name)]
        files = [member for member in members if member.isreg()]
        if strange or len(files) != 1 or "/" not in files[0].name:
            raise UnexpectedAnswer(f"no run's folder: {[member.name for member in members][:5]}")
        return files[0].name


def _extract_run(tar_path: Path, member: str, path: Path) -> None:
    """Put the file of a run at its path, whole or not at all."""
    with tarfile.open(tar_path, mode="r:") as tar:
        content = tar.extractfile(member)
        assert content is not None, "a regular file"
        with new_version(path) as part, part.open("wb") as file:
            shutil.copyfileobj(content, file)


async def _save_progress(session: ApiSession, export: Export, response: StreamedResponse) -> Export:
    """Save how far an export is, and return it."""
    progress = replace(
        export,
        tick=int(response.headers["x-last-tick"]),
        etag=response.headers["etag"],
        is_complete=response.headers["x-complete"] == "true",
    )
    await session.call(progress.save)
    return progress
