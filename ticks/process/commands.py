"""The trainer process: answers the runner's commands over the leash until it is cut.

Knows the frames and one training; decides nothing. What every command takes and gives stands in
`workers/trainer_client.py`, the other end.
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
from jobs.spec.job_spec import JobSpec
from jobs.trainer_frames import Frame, PeerGone, receive_frame, send_frame
from ticks import canary, machine, state_files
from ticks.engines.chunk import engine_identity
from ticks.engines.selection import available_identities, ready_engines
from ticks.process.state_writer import BackgroundStateWriter
from ticks.selftest import run_selftest
from ticks.state import state_digest
from ticks.training import Decisions, RunResult, TrainingRun

EXIT_PEER_GONE, EXIT_ERROR = 3, 1  # exit codes: the leash was cut; an exception was sent


def serve(connection: socket.socket) -> None:
    """Answer command after command; never returns. An exception is sent and ends the process."""
    threading.Thread(target=exit_when_peer_gone, args=(connection,), daemon=True).start()
    handler = CommandHandler(connection)
    try:
        while True:
            handler.handle(receive_frame(connection))
    except PeerGone:
        os._exit(EXIT_PEER_GONE)
    except BaseException as error:
        traceback.print_exc()
        _send_error(connection, error)
        os._exit(EXIT_ERROR)


def exit_when_peer_gone(connection: socket.socket) -> None:
    """End the process when the other side is gone, also while the main thread is in an operator."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    while not any(event for _, event in poll.poll()):
        pass
    os._exit(EXIT_PEER_GONE)


class CommandHandler:
    """One trainer's commands, a method each, named as their frames are."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.training: TrainingRun | None = None
        self.state_writer, self.can_save_in_background = BackgroundStateWriter(), False

    def handle(self, frame: Frame) -> None:
        """Carry out one command and send its answer."""
        handlers: dict[str, Callable[..., None]] = {
            "build": self.build, "load": self.load, "run": self.run, "validate": self.validate,
            "save": self.save, "written": self.wait_saved_state, "canary": self.canary,
            "selftest": self.selftest,
        }  # fmt: skip
        handlers[frame.kind](**frame.header)

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
            redirect_output(log)
        if memory is not None:
            machine.limit_memory(memory)
        fault_points.set_current_job(job)
        if fault_points.is_armed():
            print(fault_points.ARMED_WARNING, flush=True)
        fault_points.hit("build")
        job_spec = JobSpec.model_validate(spec)
        machine.configure_torch(job_spec.compute.threads)
        artifacts_folder = None if artifacts is None else Path(artifacts)
        self.can_save_in_background = aside
        self.training = TrainingRun(
            job_spec, torch.device(device), self.announce, artifacts_folder, engine
        )
        built_engine, trainer = self.training.engine, self.training.trainer
        threads = job_spec.compute.threads
        fingerprint = machine.fingerprint(
            engine_identity(built_engine), torch.device(device), threads
        )
        parameters = sum(parameter.numel() for parameter in trainer.parameters)
        reply = {"engine": built_engine.name, "device": device, "parameters": parameters}
        engine_choice = {
            "engine_note": self.training.engine_note,
            "instead": self.training.is_fallback,
        }
        send_frame(self.connection, "built", {**reply, **engine_choice, "fingerprint": fingerprint})

    def load(self, folder: str) -> None:
        """Load a checkpoint's state."""
        fault_points.hit("load")
        send_frame(
            self.connection, "loaded", {**state_files.load(self._require_training(), Path(folder))}
        )

    def run(self, k: int, digest: bool = False) -> None:
        """Run at most k ticks, and time them; `digest` asks for the last one's state digest."""
        started = time.monotonic()
        result = self._require_training().run(k)
        if self.can_save_in_background:
            self.state_writer.preallocate(self._require_training())
        if digest:
            self._add_digest(result)
        seconds = time.monotonic() - started
        columns = result.chunk.columns
        header = {
            "first": result.chunk.first, "count": result.chunk.count, "columns": list(columns),
            "ended": self._require_training().ended, "failed": result.failure, "epoch": self._require_training().epoch,
            "seconds": seconds, "written": self._poll_saved_state(),
            **self._decision_fields(result.decisions),
        }  # fmt: skip
        send_frame(
            self.connection,
            "ran",
            header,
            *(np.ascontiguousarray(column).data for column in columns.values()),
        )

    def validate(self) -> None:
        """Validate where the training stands."""
        send_frame(
            self.connection, "validated", self._decision_fields(self._require_training().validate())
        )

    def save(self, folder: str, aside: bool = False) -> None:
        """Write the state into an empty folder, or say that the disk would not have it.

        A large one, if that is to be had `aside`, from a copy in a thread: what comes of it is told
        with the first ticks that are run after its end, or to `written`.
        """
        state = state_files.capture(self._require_training())
        if aside and self.state_writer.start(state, Path(folder)):
            send_frame(self.connection, "saving", {"tick": state.tick})
            return
        reply = _save_reply(lambda: state_files.write(state, Path(folder)))
        send_frame(self.connection, "unsaved" if "detail" in reply else "saved", reply)

    def wait_saved_state(self) -> None:
        """Wait for the state that is written aside, and tell what came of it."""
        send_frame(self.connection, "written", {"written": self._poll_saved_state(wait=True)})

    def canary(self, threads: int, device: str) -> None:
        """Measure what the kernels answer, and say which engines there are."""
        machine.configure_torch(threads)
        kernel_canary = canary.compute_canary(torch.device(device))
        engines = available_identities() if device == "cpu" else {"eager": "eager"}
        reply = {"engines": engines, "ready": ready_engines(), "torch": torch.__version__}
        send_frame(self.connection, "canary", {"canary": kernel_canary, **reply})

    def selftest(self) -> None:
        """Say what this worker is and how fast."""
        machine.configure_torch(1)
        send_frame(self.connection, "selftest", run_selftest())

    def announce(self, phase: str) -> None:
        """Tell the runner what takes time now."""
        send_frame(self.connection, "phase", {"phase": phase})

    def _require_training(self) -> TrainingRun:
        assert self.training is not None, "the first command is build"
        return self.training

    def _poll_saved_state(self, *, wait: bool = False) -> dict[str, Any]:
        """What came of a state written aside; empty where there is nothing to tell."""
        return _save_reply(lambda: self.state_writer.poll(wait=wait))

    def _decision_fields(self, decisions: Decisions) -> dict[str, Any]:
        training = self._require_training()
        return {
            "sparse": decisions.sparse, "is_best": decisions.is_best,
            "metrics": training.metrics, "best": training.best,
        }  # fmt: skip

    def _add_digest(self, result: RunResult) -> None:
        """Add the digest, unless it is there or the last tick has no state of its own."""
        training, sparse = self._require_training(), result.decisions.sparse
        if not result.failure and all(column != "state" for column, _, _ in sparse):
            sparse.append(("state", training.ticks_done, state_digest(training.trainer)))


def _save_reply(save: Callable[[], state_files.SaveResult | None]) -> dict[str, Any]:
    """What came of a save; `detail` says what the disk said that would not have it."""
    try:
        return {**(save() or {})}
    except (OSError, SafetensorError) as error:
        return {"detail": str(error)}


def redirect_output(log: str) -> None:
    """Append standard output and error of this process, C's too, to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for stream, standard_descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(descriptor, standard_descriptor)
    os.close(descriptor)


def _send_error(connection: socket.socket, error: BaseException) -> None:
    text = traceback.format_exc()
    with contextlib.suppress(OSError):
        header = {"type": type(error).__name__, "detail": str(error), "traceback": text}
        send_frame(connection, "error", header)
