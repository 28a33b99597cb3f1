"""The trainer process: answers the runner's commands over the leash until it is cut.

Knows the frames and one training; decides nothing. What every command takes and gives stands in
`workers/trainer.py`, the other end.
"""

import contextlib
import os
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from jobs import fault_points
from jobs.leash import Frame, LeashCut, receive, send
from jobs.spec.job_spec import JobSpec
from ticks import canary, checkpoint, machine
from ticks.aside import Aside
from ticks.engines.choose import identities, ready
from ticks.engines.chunk import identity
from ticks.selftest import selftest
from ticks.state import digest
from ticks.training import Decided, Ran, Training

CUT, FAILED = 3, 1  # exit codes: the leash was cut; an exception was sent


def serve(leash: socket.socket) -> None:
    """Answer command after command; never returns. An exception is sent and ends the process."""
    threading.Thread(target=end_when_cut, args=(leash,), daemon=True).start()
    commands = Commands(leash)
    try:
        while True:
            commands.answer(receive(leash))
    except LeashCut:
        os._exit(CUT)
    except BaseException as error:
        traceback.print_exc()
        _report(leash, error)
        os._exit(FAILED)


def end_when_cut(leash: socket.socket) -> None:
    """End the process when the other side is gone, also while the main thread is in an operator."""
    poll = select.poll()
    poll.register(leash, select.POLLRDHUP)
    while not any(event for _, event in poll.poll()):
        pass
    os._exit(CUT)


class Commands:
    """One trainer's commands, a method each, named as their frames are."""

    def __init__(self, leash: socket.socket) -> None:
        self.leash = leash
        self.training: Training | None = None
        self.aside, self.may_save_aside = Aside(), False

    def answer(self, frame: Frame) -> None:
        """Carry out one command and send its answer."""
        commands: dict[str, Callable[..., None]] = {
            "build": self.build, "load": self.load, "run": self.run, "validate": self.validate,
            "save": self.save, "written": self.written, "canary": self.canary,
            "selftest": self.selftest,
        }  # fmt: skip
        commands[frame.kind](**frame.header)

    def build(
        self,
        spec: dict[str, Any],
        device: str,
        log: str | None = None,
        artifacts: str | None = None,
        engine: str | None = None,
        job: str | None = None,
        memory: int | None = None,
        aside: bool = False,
    ) -> None:
        """Build net, optimizer and data of a spec; from here on print into the job's log.

        `engine` is the one that the job's history is of, if it has one. `job` is whose trainer this
        is, which only fault points ask; more than `memory` bytes are refused to this process by the
        kernel. `aside`: states will be asked for while it trains.
        """
        if log is not None:
            write_into(log)
        if memory is not None:
            machine.bound(memory)
        fault_points.works_for(job)
        if fault_points.armed():
            print(fault_points.WARNING, flush=True)
        fault_points.point("build")
        whole = JobSpec.model_validate(spec)
        machine.prepare(whole.compute.threads)
        home = None if artifacts is None else Path(artifacts)
        self.may_save_aside = aside
        self.training = Training(whole, torch.device(device), self.announce, home, engine)
        made, trainer = self.training.engine, self.training.trainer
        threads = whole.compute.threads
        fingerprint = machine.fingerprint(identity(made), torch.device(device), threads)
        parameters = sum(parameter.numel() for parameter in trainer.parameters)
        built = {"engine": made.name, "device": device, "parameters": parameters}
        note = {"engine_note": self.training.engine_note, "instead": self.training.instead}
        send(self.leash, "built", {**built, **note, "fingerprint": fingerprint})

    def load(self, folder: str) -> None:
        """Load a checkpoint's state."""
        fault_points.point("load")
        send(self.leash, "loaded", {**checkpoint.load(self._built(), Path(folder))})

    def run(self, k: int, digest: bool = False) -> None:
        """Run at most k ticks, and time them; `digest` asks for the last one's state digest."""
        begun = time.monotonic()
        ran = self._built().run(k)
        if self.may_save_aside:
            self.aside.prepare(self._built())
        if digest:
            self._add_digest(ran)
        seconds = time.monotonic() - begun
        columns = ran.chunk.columns
        head = {
            "first": ran.chunk.first, "count": ran.chunk.count, "columns": list(columns),
            "ended": self._built().ended, "failed": ran.failed, "epoch": self._built().epoch,
            "seconds": seconds, "written": self._written(),
            **self._decided(ran.decided),
        }  # fmt: skip
        send(
            self.leash, "ran", head, *(np.ascontiguousarray(each).data for each in columns.values())
        )

    def validate(self) -> None:
        """Validate where the training stands."""
        send(self.leash, "validated", self._decided(self._built().validate()))

    def save(self, folder: str, aside: bool = False) -> None:
        """Write the state into an empty folder, or say that the disk would not have it.

        A large one, if that is to be had `aside`, from a copy in a thread: what comes of it is told
        with the first ticks that are run after its end, or to `written`.
        """
        state = checkpoint.gather(self._built())
        if aside and self.aside.begin(state, Path(folder)):
            send(self.leash, "saving", {"tick": state.tick})
            return
        told = _told(lambda: checkpoint.write(state, Path(folder)))
        send(self.leash, "unsaved" if "detail" in told else "saved", told)

    def written(self) -> None:
        """Wait for the state that is written aside, and tell what came of it."""
        send(self.leash, "written", {"written": self._written(wait=True)})

    def canary(self, threads: int, device: str) -> None:
        """Measure what the kernels answer, and say which engines there are."""
        machine.prepare(threads)
        measured = canary.measure(torch.device(device))
        engines = identities() if device == "cpu" else {"eager": "eager"}
        told = {"engines": engines, "ready": ready(), "torch": torch.__version__}
        send(self.leash, "canary", {"canary": measured, **told})

    def selftest(self) -> None:
        """Say what this worker is and how fast."""
        machine.prepare(1)
        send(self.leash, "selftest", selftest())

    def announce(self, phase: str) -> None:
        """Tell the runner what takes time now."""
        send(self.leash, "phase", {"phase": phase})

    def _built(self) -> Training:
        assert self.training is not None, "the first command is build"
        return self.training

    def _written(self, *, wait: bool = False) -> dict[str, Any]:
        """What came of a state written aside; empty where there is nothing to tell."""
        return _told(lambda: self.aside.outcome(wait=wait))

    def _decided(self, decided: Decided) -> dict[str, Any]:
        training = self._built()
        return {
            "sparse": decided.sparse, "is_best": decided.is_best,
            "metrics": training.metrics, "best": training.best,
        }  # fmt: skip

    def _add_digest(self, ran: Ran) -> None:
        """Add the digest, unless it is there or the last tick has no state of its own."""
        training, sparse = self._built(), ran.decided.sparse
        if not ran.failed and all(column != "state" for column, _, _ in sparse):
            sparse.append(("state", training.at, digest(training.trainer)))


def _told(save: Callable[[], checkpoint.Saved | None]) -> dict[str, Any]:
    """What came of a save; `detail` says what the disk said that would not have it."""
    try:
        return {**(save() or {})}
    except (OSError, SafetensorError) as error:
        return {"detail": str(error)}


def write_into(log: str) -> None:
    """Append standard output and error of this process, C's too, to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(descriptor, number)
    os.close(descriptor)


def _report(leash: socket.socket, error: BaseException) -> None:
    text = traceback.format_exc()
    with contextlib.suppress(OSError):
        told = {"type": type(error).__name__, "detail": str(error), "traceback": text}
        send(leash, "error", told)
