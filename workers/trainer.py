"""The runner's end of a trainer process: its commands as methods, its death as an exception.

Knows the leash's frames; knows no store, no torch and not what a job is.
"""

import contextlib
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
import numpy.typing as npt

from jobs.job import SparsePoint
from jobs.leash import Frame, PeerGone, receive_frame, send_frame

Header = dict[str, Any]

#: the frames that may answer each command
ANSWERS = {
    "build": ("built",),
    "load": ("loaded",),
    "run": ("ran",),
    "validate": ("validated",),
    "save": ("saved", "saving"),
    "written": ("written",),
    "canary": ("canary",),
    "selftest": ("selftest",),
}
#: seconds a killed trainer has to be gone; after SIGKILL the kernel needs milliseconds
BURIAL_SECONDS = 2.0


class TrainerFault(Exception):
    """The trainer met an exception of its own and has ended; nothing about the job was lost."""

    def __init__(self, kind: str, detail: str, traceback: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.traceback = kind, detail, traceback


class NotWritten(Exception):
    """The trainer could not write its state to the disk; it goes on as if nobody had asked."""


@dataclass(frozen=True)
class Ran:
    """What a chunk gave. `columns` are float32 arrays of `count` values, tick `first` first."""

    first: int
    count: int
    columns: dict[str, npt.NDArray[np.float32]]
    sparse: list[SparsePoint]
    metrics: Header
    best: Header | None
    is_best: bool
    ended: str | None = None
    failed: Header | None = None
    epoch: float | None = None
    seconds: float = 0.0  # that the trainer took
    written: "Saved | NotWritten | None" = None  # what came meanwhile of a save aside

    @property
    def last(self) -> int:
        """The last tick that was run (first - 1 where none was)."""
        return self.first + self.count - 1

    @property
    def is_over(self) -> bool:
        """Whether the training ended or failed with it."""
        return bool(self.ended or self.failed)


@dataclass(frozen=True)
class Saved:
    """A state on disk: its tick, its digest (16 hex digits) and the metrics at that tick."""

    tick: int
    state: str
    metrics: Header


@dataclass(frozen=True)
class Process:
    """A hired process: its leash, and a descriptor that names it even when its pid is reused."""

    pid: int
    pidfd: int
    leash: socket.socket

    def kill(self) -> None:
        """End it now, from any thread; who waits on the leash sees it cut."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def bury(self) -> None:
        """End it, wait until it is gone, and let go of both descriptors."""
        self.kill()
        self.leash.close()
        select.select([self.pidfd], [], [], BURIAL_SECONDS)
        os.close(self.pidfd)


@dataclass
class Trainer:
    """One trainer at the end of its leash. Every method may raise LeashCut or TrainerFault."""

    leash: socket.socket
    on_phase: Callable[[str], None] = field(default=lambda _phase: None)
    memory: int | None = None  # bytes that it may use

    def build(
        self,
        spec: Header,
        device: str,
        log: Path | None,
        artifacts: Path | None = None,
        job: str | None = None,
        engine: str | None = None,
        *,
        aside: bool = False,
    ) -> Header:
        """Have model, optimizer and data built; return engine, device, parameters, fingerprint.

        Files of uploaded datasets lie below the folder `artifacts`; `job` is whose trainer it is;
        `engine` is that of the history, if there is one. The answer's `engine_note` says why the
        engine is which it is, `instead` whether it stands in for another. `aside`: states will be
        asked for while it trains.
        """
        places = {"log": log, "artifacts": artifacts}
        told = {name: None if path is None else str(path) for name, path in places.items()}
        return self._ask(
            "build",
            {
                "spec": spec, "device": device, "job": job, "engine": engine,
                "memory": self.memory, "aside": aside, **told,
            },
        ).header  # fmt: skip

    def load(self, folder: Path) -> Header:
        """Have a checkpoint's state loaded; return its tick, state, ended, best and metrics."""
        return self._ask("load", {"folder": str(folder)}).header

    def run(self, ticks: int, *, digest: bool = False) -> Ran:
        """Run at most `ticks` ticks; `digest` adds the state's digest at the last of them."""
        self.start(ticks, digest=digest)
        return self.ran()

    def start(self, ticks: int, *, digest: bool = False) -> None:
        """Have the same run, and do not wait for it; the next that is asked for must be `ran`."""
        # who is gone is noticed where the answer is waited for: ticks may be in hand until then
        with contextlib.suppress(PeerGone):
            send_frame(self.leash, "run", {"k": ticks, "digest": digest})

    def ran(self) -> Ran:
        """Wait for the ticks that were started."""
        frame = self._answer("run")
        head = frame.header
        columns = _columns(head["columns"], head["count"], frame.body)
        return Ran(
            head["first"], head["count"], columns, _sparse(head["sparse"]), head["metrics"],
            head["best"], head["is_best"], head["ended"], head["failed"], head["epoch"],
            head["seconds"], _outcome(head["written"]),
        )  # fmt: skip

    def validate(self, tick: int) -> Ran:
        """Validate at `tick`, where it stands, unless that was done; a chunk of 0 ticks."""
        head = self._ask("validate", {}).header
        sparse, best = _sparse(head["sparse"]), head["best"]
        return Ran(tick + 1, 0, {}, sparse, head["metrics"], best, head["is_best"])

    def save(self, folder: Path) -> Saved:
        """Have the state written into an empty folder, each file on disk. Raises NotWritten."""
        return _saved(self._ask("save", {"folder": str(folder)}).header)

    def save_aside(self, folder: Path) -> Saved | None:
        """Have the same done while it trains on; what comes of it, `Ran.written` or `written` tell.

        A small state is saved at once, and returned. Raises NotWritten.
        """
        frame = self._ask("save", {"folder": str(folder), "aside": True})
        return None if frame.kind == "saving" else _saved(frame.header)

    def written(self) -> Saved | NotWritten | None:
        """Wait for what was saved aside, and return what came of it."""
        return _outcome(self._ask("written", {}).header["written"])

    def canary(self, threads: int, device: str) -> Header:
        """Measure what this machine's kernels answer, and have engines and torch named."""
        return self._ask("canary", {"threads": threads, "device": device}).header

    def selftest(self) -> Header:
        """Return device, engines, canary and ticks per second of the seed's net."""
        return self._ask("selftest", {}).header

    def _ask(self, command: str, header: Header) -> Frame:
        send_frame(self.leash, command, header)
        return self._answer(command)

    def _answer(self, command: str) -> Frame:
        while (frame := receive_frame(self.leash)).kind == "phase":
            self.on_phase(frame.header["phase"])
        if frame.kind == "unsaved":
            raise NotWritten(frame.header["detail"])
        if frame.kind == "error":
            raise TrainerFault(*(frame.header[key] for key in ("type", "detail", "traceback")))
        assert frame.kind in ANSWERS[command], f"{frame.kind} answers {command}"
        return frame


def _saved(header: Header) -> Saved:
    return Saved(header["tick"], header["state"], header["metrics"])


def _outcome(told: Header) -> Saved | NotWritten | None:
    if "detail" in told:
        return NotWritten(told["detail"])
    return _saved(told) if told else None


def _columns(names: list[str], count: int, body: bytearray) -> dict[str, npt.NDArray[np.float32]]:
    values = np.frombuffer(body, "<f4").reshape(len(names), count)
    return dict(zip(names, values, strict=True))


def _sparse(points: list[tuple[str, int, float | str]]) -> list[SparsePoint]:
    return [SparsePoint(column, tick, bits(value)) for column, tick, value in points]


def bits(value: float | str) -> bytes:
    """Return a sparse value's 8 bytes: a digest (16 hex digits) or a float64, little-endian."""
    if isinstance(value, str):
        return struct.pack("<Q", int(value, 16))
    return struct.pack("<d", value)
