"""A job's checkpoints: their fields, and downloads of their files. Knows no command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

from tickforge_client import predictions
from tickforge_client.blocking import blocking
from tickforge_client.downloads import RemoteFile, download_file
from tickforge_client.errors import UnexpectedAnswer
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path

#: file names accepted from the server: none leads out of the folder or is hidden in it
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint; `sha256` is hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class CheckpointFields:
    """A saved state of a job, identified by its tick; `sha256` is that of the weights file."""

    job_id: str
    tick: int
    name: str | None
    created_at: str
    bytes: int
    metrics: Mapping[str, float | None]
    sha256: str
    files: tuple[CheckpointFile, ...]
    is_best: bool
    is_final: bool
    pinned: bool
    fields: Mapping[str, Any] = field(repr=False, compare=False)
    _session: ApiSession = field(repr=False, compare=False)

    @classmethod
    def read(cls, session: ApiSession, job_id: str, fields: Mapping[str, Any]) -> Self:
        """Make a Checkpoint of the server's JSON."""
        files = [CheckpointFile(f["name"], f["bytes"], f["sha256"]) for f in fields["files"]]
        return cls(
            job_id=job_id,
            tick=fields["tick"],
            name=fields.get("name"),
            created_at=fields["created_at"],
            bytes=fields["bytes"],
            metrics=fields["metrics"],
            sha256=fields["sha256"],
            files=tuple(files),
            is_best=fields["is_best"],
            is_final=fields["is_final"],
            pinned=fields.get("pinned", False),
            fields=fields,
            _session=session,
        )

    @property
    def _path(self) -> str:
        return api_path("jobs", self.job_id, "checkpoints", self.tick)


CheckpointT = TypeVar("CheckpointT")


class CheckpointCalls(CheckpointFields, Generic[CheckpointT]):
    """The calls of a checkpoint, written once as coroutines."""

    async def download(
        self, path: str | Path, on_bytes: Callable[[str, int, int], None] | None = None
    ) -> Path:
        """Download all files into the folder `path`, created if missing, and return it.

        Resumes an interrupted download. A file gets its name only once its sha256 is verified.
        `on_bytes` is called with the file's name, the bytes received so far and the total.
        Raises CorruptDownload, UnexpectedAnswer, Problem, Unreachable.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            if not _SAFE_NAME.fullmatch(file.name):
                raise UnexpectedAnswer(f"the server names a file {file.name!r}: not downloaded")
            path = api_path("jobs", self.job_id, "checkpoints", self.tick, "files", file.name)
            remote = RemoteFile(path, file.bytes, file.sha256)
            on_file_bytes = _progress_callback(on_bytes, file)
            await download_file(self._session, remote, folder / file.name, on_file_bytes)
        return folder

    async def download_onnx(self, path: str | Path) -> Path:
        """Download the net as model.onnx into the file `path`, and return it.

        The server makes it when it is first asked for, which takes some seconds. Raises what
        `download` does; InvalidRequest where the net cannot be written so, ServerError where no
        worker can do it.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        remote_path = f"{self._path}/files/model.onnx"
        remote = RemoteFile(remote_path, *await self._session.wait_for_file(remote_path))
        await download_file(self._session, remote, target)
        return target

    async def predict(self, rows: Any) -> list[dict[str, Any]]:
        """Return a prediction for each row by this checkpoint's net; see `Job.predict`."""
        return await predictions.predict(self._session, self.job_id, self.tick, rows)

    async def update(self, /, **changes: Any) -> CheckpointT:
        """Set `name` (None removes it) or `pinned`; return the checkpoint as changed."""
        fields = await self._session.patch(self._path, changes)
        return cast(CheckpointT, self.read(self._session, self.job_id, fields))

    async def delete(self) -> None:
        """Delete the checkpoint and its files permanently."""
        await self._session.delete(self._path)


class AsyncCheckpoint(CheckpointCalls["AsyncCheckpoint"]):
    """A saved state of a job, identified by its tick: `await checkpoint.download(path)`."""


class Checkpoint(CheckpointFields):
    """A saved state of a job, identified by its tick; `sha256` is that of the weights file."""

    _calls = CheckpointCalls["Checkpoint"]

    download = blocking(_calls.download)
    download_onnx = blocking(_calls.download_onnx)
    predict = blocking(_calls.predict)
    update = blocking(_calls.update)
    delete = blocking(_calls.delete)


def _progress_callback(
    on_bytes: Callable[[str, int, int], None] | None, file: CheckpointFile
) -> Callable[[int], None] | None:
    if on_bytes is None:
        return None
    return lambda received: on_bytes(file.name, received, file.bytes)
