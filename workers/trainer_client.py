"""The client of a trainer process: its commands as methods, its death as an exception.

Knows the frames, whose keys ticks/process/commands.py lists; knows no store, no torch and not what
a job is.
"""

import contextlib
import math
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.job import SparsePoint
from jobs.trainer_frames import Frame, PeerGone, receive_frame, send_frame

JsonDict = dict[str, Any]

#: the frames that may answer each command
REPLY_KINDS = {
    "build": ("built",),
    "load": ("loaded",),
    "run": ("ran",),
    "validate": ("validated",),
    "save": ("saved", "saving"),
    "wait_saved_state": ("saved_state",),
    "canary": ("canary",),
    "selftest": ("selftest",),
}
#: seconds to wait for a killed trainer's end; the kernel needs milliseconds
EXIT_TIMEOUT_SECONDS = 2.0


class TrainerError(Exception):
    """The trainer raised an exception and has ended; nothing recorded was lost."""

    def __init__(self, kind: str, detail: str, traceback: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.traceback = kind, detail, traceback


class StateNotWritten(Exception):
    """The trainer could not write its state to the disk; it can go on training."""


@dataclass(frozen=True)
class ChunkResult:
    """The values of `count` ticks from `first` on: a float32 array of shape (count,) per column."""

    first: int
    count: int
    columns: dict[str, NDArray[np.float32]]
    sparse: list[SparsePoint]
    metrics: JsonDict
    best: JsonDict | None
    is_best: bool
    end_reason: str | None = None
    failure: JsonDict | None = None
    epoch: float | None = None
    seconds: float = 0.0  # that the ticks took
    save_result: "SavedState | StateNotWritten | None" = None  # of a background save that ended
    end_failure: JsonDict | None = None  # why a job that ended here would not have succeeded

    @property
    def last(self) -> int:
        """Return the last tick that was run; `first` - 1 if none was."""
        return self.first + self.count - 1

    @property
    def is_last_skipped(self) -> bool:
        """Return whether the update of the last tick was not applied, and the job may go on.

        Of the ticks of a chunk no other can be one whose loss is not finite.
        """
        if not self.count or (self.failure is not None and self.failure["type"] != "skips"):
            return False
        return not math.isfinite(self.columns["loss"][-1])

    @property
    def is_over(self) -> bool:
        """Return whether the training ended or failed with these ticks."""
        return bool(self.end_reason or self.failure)


@dataclass(frozen=True)
class SavedState:
    """A state on disk: its tick, its digest (16 hex digits) and the metrics at its tick."""

    tick: int
    state_digest: str
    metrics: JsonDict


@dataclass(frozen=True)
class TrainerProcess:
    """A spawned trainer: its connection, and a pidfd, which stays valid if the pid is reused."""

    pid: int
    pidfd: int
    connection: socket.socket

    def kill(self) -> None:
        """Kill it, from any thread; a read of its connection then raises PeerGone."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Kill it, wait until it has ended, and close both descriptors."""
        self.end()
        self.wait()

    def end(self) -> None:
        """Kill it without waiting, and close its connection; the last call must be `wait`."""
        self.kill()
        self.connection.close()

    def wait(self) -> None:
        """Wait until it has ended after `end`, and close the pidfd."""
        select.select([self.pidfd], [], [], EXIT_TIMEOUT_SECONDS)
        os.close(self.pidfd)


@dataclass
class TrainerClient:
    """The commands of one trainer. Every method may raise PeerGone or TrainerError."""

    connection: socket.socket
    on_phase: Callable[[str], None] = field(default=lambda _phase: None)
    on_alive: Callable[[], None] = field(default=lambda: None)  # inside of a long tick
    memory_bytes: int | None = None  # that the trainer may use
    on_warning: Callable[[str], None] = field(default=lambda _text: None)

    def build(
        self,
        spec: JsonDict,
        device: str,
        log: Path | None,
        artifacts: Path | None = None,
        job: str | None = None,
        engine: str | None = None,
        *,
        canary: str | None = None,
        background_saves: bool = False,
        keeps_trial: bool = False,
    ) -> JsonDict:
        """Build model, optimizer and data; return engine, device, parameters and fingerprint.

        `artifacts` is the root of uploaded datasets' files, `engine` that of the history, if there
        is one. The reply's `engine_note` says why the engine was chosen, `is_fallback` whether it
        replaces the one that was chosen. `canary` is this machine's: what was proven under it need
        not be tried. `background_saves`: prepare for saves while training. `keeps_trial`: the first
        `run` asks for at least the reply's `trial_ticks`, and no `save` or `validate` comes before.
        """
        paths = {"log": log, "artifacts": artifacts}
        path_texts = {name: None if path is None else str(path) for name, path in paths.items()}
        return self._request(
            "build",
            {
                "spec": spec, "device": device, "job": job, "engine": engine,
                "canary": canary, "memory_bytes": self.memory_bytes,
                "background_saves": background_saves, "keeps_trial": keeps_trial,
                **path_texts,
            },
        ).header  # fmt: skip

    def load(self, folder: Path) -> JsonDict:
        """Load a checkpoint's state; return its tick, state, end_reason, best and metrics."""
        return self._request("load", {"folder": str(folder)}).header

    def run(self, ticks: int, *, digest: bool = False) -> ChunkResult:
        """Run at most `ticks` ticks; `digest` adds the state's digest after the last of them."""
        self.start_chunk(ticks, digest=digest)
        return self.wait_chunk()

    def start_chunk(self, ticks: int, *, digest: bool = False) -> None:
        """Start what `run` does without waiting; the next call must be `wait_chunk`."""
        # a dead trainer is noticed in wait_chunk: earlier ticks may still have to be recorded
        with contextlib.suppress(PeerGone):
            send_frame(self.connection, "run", {"ticks": ticks, "digest": digest})

    def wait_chunk(self) -> ChunkResult:
        """Wait for the ticks of `start_chunk`."""
        frame = self._receive_reply("run")
        header = frame.header
        columns = _parse_columns(header["columns"], header["count"], frame.body)
        return ChunkResult(
            header["first"], header["count"], columns, _parse_sparse(header["sparse"]),
            header["metrics"], header["best"], header["is_best"], header["end_reason"],
            header["failure"], header["epoch"], header["seconds"],
            _parse_save_result(header["save_result"]), header["end_failure"],
        )  # fmt: skip

    def validate(self, tick: int) -> ChunkResult:
        """Validate at `tick`, the trainer's last, unless that was done; return 0 ticks."""
        header = self._request("validate", {}).header
        sparse, best = _parse_sparse(header["sparse"]), header["best"]
        return ChunkResult(tick + 1, 0, {}, sparse, header["metrics"], best, header["is_best"])

    def save(self, folder: Path) -> SavedState:
        """Write the state into an empty folder and sync its files. Raises StateNotWritten."""
        return _parse_saved_state(self._request("save", {"folder": str(folder)}).header)

    def save_in_background(self, folder: Path) -> SavedState | None:
        """Write the state into an empty folder while the trainer runs on.

        The result comes with a later ChunkResult, or from `wait_saved_state`. A small state is
        saved at once, and returned. Raises StateNotWritten.
        """
        frame = self._request("save", {"folder": str(folder), "in_background": True})
        return None if frame.kind == "saving" else _parse_saved_state(frame.header)

    def wait_saved_state(self) -> SavedState | StateNotWritten | None:
        """Wait for the background save and return its result; None if there is none."""
        return _parse_save_result(self._request("wait_saved_state", {}).header["save_result"])

    def canary(self, threads: int, device: str) -> JsonDict:
        """Measure this machine's canary; return it with the engines and torch's version."""
        return self._request("canary", {"threads": threads, "device": device}).header

    def selftest(self, device: str) -> JsonDict:
        """Return device, engines, canary and the speed of a small net in ticks per second."""
        return self._request("selftest", {"device": device}).header

    def _request(self, command: str, header: JsonDict) -> Frame:
        send_frame(self.connection, command, header)
        return self._receive_reply(command)

    def _receive_reply(self, command: str) -> Frame:
        while (frame := receive_frame(self.connection)).kind in ("phase", "alive", "warning"):
            if frame.kind == "phase":
                self.on_phase(frame.header["phase"])
            elif frame.kind == "warning":
                self.on_warning(frame.header["text"])
            else:
                self.on_alive()
        if frame.kind == "unsaved":
            raise StateNotWritten(frame.header["detail"])
        if frame.kind == "error":
            raise TrainerError(*(frame.header[key] for key in ("type", "detail", "traceback")))
        assert frame.kind in REPLY_KINDS[command], f"{frame.kind} answers {command}"
        return frame


def _parse_saved_state(header: JsonDict) -> SavedState:
    return SavedState(header["tick"], header["state"], header["metrics"])


def _parse_save_result(header: JsonDict) -> SavedState | StateNotWritten | None:
    if "detail" in header:
        return StateNotWritten(header["detail"])
    return _parse_saved_state(header) if header else None


def _parse_columns(names: list[str], count: int, body: bytearray) -> dict[str, NDArray[np.float32]]:
    return dict(zip(names, np.frombuffer(body, "<f4").reshape(len(names), count), strict=True))


def _parse_sparse(points: list[tuple[str, int, float | str]]) -> list[SparsePoint]:
    return [SparsePoint(column, tick, encode_value(value)) for column, tick, value in points]


def encode_value(value: float | str) -> bytes:
    """Return a sparse value's 8 bytes: a digest (16 hex digits) or a float64, little-endian."""
    if isinstance(value, str):
        return struct.pack("<Q", int(value, 16))
    return struct.pack("<d", value)
