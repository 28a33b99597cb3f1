"""The trainer process: carries out the worker's commands, received as frames, until it leaves.

Knows the frames and one training; decides nothing. The worker's end is workers/trainer_client.py,
which documents what each command does. The commands, with the keys of their headers:

    build             spec, device, log, artifacts, job, engine, canary, memory_bytes,
                      background_saves, keeps_trial
    load              folder
    run               ticks, digest
    validate          -
    save              folder, in_background
    wait_saved_state  -
    canary            threads, device
    selftest          device

and their replies:

    built        engine, device, parameters, engine_note, is_fallback, warnings, fingerprint,
                 trial_ticks
    loaded       tick, state (its digest), metrics, end_reason, end_failure, best
    ran          first, count, columns, end_reason, end_failure, failure, epoch, seconds,
                 save_result, and those of validated; the body has the columns, float32 [count] each
    validated    sparse, is_best, metrics, best
    saved        tick, state (its digest), metrics
    saving       tick: a thread writes the state; a later `ran` has its save_result
    unsaved      detail: the disk's error
    saved_state  save_result: the keys of `saved` or `unsaved`, or {}
    canary       canary, engines, ready, torch
    selftest     as run_selftest returns it
    phase        phase; sent any number of times before a reply
    alive        -; likewise: a part of a long tick, or a block of a long evaluation, is done
    warning      text; likewise: what the job's owner should know
    error        type, detail, traceback; the process then ends

A process of the same kind answers instead of training: ticks/process/answering.py has its commands.
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
from jobs.spec.stored import read_stored_spec
from jobs.trainer_frames import PeerGone, receive_frame, send_frame
from ticks import canary, machine, state_files
from ticks.engines.chunk import engine_identity
from ticks.engines.graph_trial import TrialRules
from ticks.engines.selection import available_identities, ready_engines
from ticks.process.answering import AnswerHandler
from ticks.process.state_writer import BackgroundStateWriter
from ticks.process.warm_up import warm_up
from ticks.selftest import run_selftest
from ticks.state import state_digest
from ticks.training import Decisions, RunResult, TrainingRun

SIGN_SECONDS = 0.5  # from one sign of life to the next
EXIT_PEER_GONE, EXIT_ERROR = 3, 1  # exit codes: the worker has left; an exception was sent


def serve(connection: socket.socket, engine_ahead: str = "") -> None:
    """Carry out commands one by one; never returns. An exception is sent and ends the process.

    `engine_ahead`: an engine to warm up for until the first command comes.
    """
    threading.Thread(target=exit_when_peer_gone, args=(connection,), daemon=True).start()
    if engine_ahead:
        with contextlib.closing(warm_up(engine_ahead)) as steps:
            any(select.select([connection], [], [], 0)[0] for _ in steps)
    trainer = CommandHandler(connection)
    answers = AnswerHandler(connection, trainer.show_progress)
    commands = {**trainer.commands, **answers.commands}
    try:
        while True:
            frame = receive_frame(connection)
            commands[frame.kind](**frame.header)
    except PeerGone:
        os._exit(EXIT_PEER_GONE)
    except BaseException as error:
        if not isinstance(error, machine.DeviceUnavailable):  # it says all in one line
            traceback.print_exc()
        _send_error(connection, error)
        os._exit(EXIT_ERROR)


def exit_when_peer_gone(connection: socket.socket) -> None:
    """End the process when the peer closes, even while the main thread is in an operator."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    while not any(event for _, event in poll.poll()):
        pass
    os._exit(EXIT_PEER_GONE)


class CommandHandler:
    """One trainer's commands, a method for each kind of frame."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.training: TrainingRun | None = None
        self.state_writer, self.can_save_in_background = BackgroundStateWriter(), False
        self._last_sign = time.monotonic()
        self.commands: dict[str, Callable[..., None]] = {
            "build": self.build, "load": self.load, "run": self.run, "validate": self.validate,
            "save": self.save, "wait_saved_state": self.wait_saved_state, "canary": self.canary,
            "selftest": self.selftest,
        }  # fmt: skip

    def build(
        self,
        spec: dict[str, Any],
        device: str,
        log: str | None = None,
        artifacts: str | None = None,
        engine: str | None = None,
        job: str | None = None,
        canary: str | None = None,
        memory_bytes: int | None = None,
        background_saves: bool = False,
        keeps_trial: bool = False,
    ) -> None:
        """Build net, optimizer and data of a spec; from here on, print into the file `log`.

        `engine` is the engine of the job's history, if it has one. `job` is the job's id. `canary`
        is this machine's; without it the engine is tried whatever is proven. `memory_bytes` limits
        this process's private memory. `background_saves`: states will also be saved in the
        background. `keeps_trial`: the first `run` asks for at least the `trial_ticks` of the reply.
        """
        if log is not None:
            redirect_output(log)
        if memory_bytes is not None:
            machine.limit_memory(memory_bytes)
        fault_points.set_current_job(job)
        if fault_points.is_armed():
            print(fault_points.ARMED_WARNING, flush=True)
        fault_points.hit("build")
        job_spec = read_stored_spec(spec)
        machine.configure_torch(job_spec.compute.threads)
        machine.check_device(torch.device(device))
        root, torch_device = None if artifacts is None else Path(artifacts), torch.device(device)
        self.can_save_in_background = background_saves
        trial_rules = TrialRules(keeps_trial, canary, job or "", compares_recorded=True)
        self.training = training = TrainingRun(
            job_spec, torch_device, self.announce, root, engine, self.show_progress, trial_rules
        )  # fmt: skip
        training.trainer.warn = lambda text: send_frame(self.connection, "warning", {"text": text})
        identity, threads = engine_identity(training.engine), job_spec.compute.threads
        fingerprint = machine.fingerprint(identity, torch_device, threads)
        parameters = sum(parameter.numel() for parameter in training.trainer.parameters)
        reply = {"engine": training.engine.name, "device": device, "parameters": parameters}
        choice = {
            "engine_note": training.engine_note,
            "is_fallback": training.is_fallback,
            "warnings": training.warnings,
            "trial_ticks": training.trial_ticks,
        }
        send_frame(self.connection, "built", {**reply, **choice, "fingerprint": fingerprint})

    def load(self, folder: str) -> None:
        """Load the state of a checkpoint's folder."""
        fault_points.hit("load")
        loaded = state_files.load(self._require_training(), Path(folder))
        send_frame(self.connection, "loaded", {**loaded})

    def run(self, ticks: int, digest: bool = False) -> None:
        """Run up to `ticks` ticks and reply with their columns and the seconds they took.

        `digest`: add the state digest of the last tick.
        """
        started, training = time.monotonic(), self._require_training()
        self._last_sign = started
        trial_seconds = training.trial_seconds
        result = training.run(ticks)
        if self.can_save_in_background:
            self.state_writer.preallocate(training)
        if digest:
            self._add_digest(result)
        seconds, chunk = time.monotonic() - started + trial_seconds, result.chunk
        header = {
            "first": chunk.first, "count": chunk.count, "columns": list(chunk.columns),
            "end_reason": training.end_reason, "end_failure": training.end_failure,
            "failure": result.failure, "epoch": training.epoch, "seconds": seconds,
            "save_result": self._poll_saved_state(),
            **self._decision_fields(result.decisions),
        }  # fmt: skip
        columns = (np.ascontiguousarray(column).data for column in chunk.columns.values())
        send_frame(self.connection, "ran", header, *columns)

    def validate(self) -> None:
        """Validate after the current tick."""
        decisions = self._require_trained().validate()
        send_frame(self.connection, "validated", self._decision_fields(decisions))

    def save(self, folder: str, in_background: bool = False) -> None:
        """Write the state into an empty folder; reply "saved", or "unsaved" with the disk's error.

        With `in_background`, a large state is copied and written in a thread ("saving"): its result
        is sent with the first `run` after its end, or by `wait_saved_state`.
        """
        state = state_files.capture(self._require_trained())
        if in_background and self.state_writer.start(state, Path(folder)):
            send_frame(self.connection, "saving", {"tick": state.tick})
            return
        reply = _save_reply(lambda: state_files.write(state, Path(folder)))
        send_frame(self.connection, "unsaved" if "detail" in reply else "saved", reply)

    def wait_saved_state(self) -> None:
        """Wait for the state that is written in the background, and reply with its result."""
        result = self._poll_saved_state(wait=True)
        send_frame(self.connection, "saved_state", {"save_result": result})

    def canary(self, threads: int, device: str) -> None:
        """Reply with this machine's canary for a thread count and device, and its engines."""
        machine.configure_torch(threads)
        machine.check_device(torch.device(device))
        kernel_canary = canary.compute_canary(torch.device(device))
        engines = available_identities(device)
        reply = {"engines": engines, "ready": ready_engines(), "torch": torch.__version__}
        send_frame(self.connection, "canary", {"canary": kernel_canary, **reply})

    def selftest(self, device: str) -> None:
        """Reply with a device of this machine, its engines, canary and speed."""
        machine.configure_torch(1)
        machine.check_device(torch.device(device))
        send_frame(self.connection, "selftest", run_selftest(torch.device(device)))

    def announce(self, phase: str) -> None:
        """Send the name of the phase that takes time now."""
        send_frame(self.connection, "phase", {"phase": phase})

    def show_progress(self) -> None:
        """Send a sign of life, at most one in SIGN_SECONDS."""
        now = time.monotonic()
        if now - self._last_sign >= SIGN_SECONDS:
            self._last_sign = now
            send_frame(self.connection, "alive")

    def _require_training(self) -> TrainingRun:
        assert self.training is not None, "the first command is build"
        return self.training

    def _require_trained(self) -> TrainingRun:
        """Return a training whose position is what the worker has been sent."""
        training = self._require_training()
        assert training.trial_chunk is None, "the ticks of the trial are not sent yet"
        return training

    def _poll_saved_state(self, *, wait: bool = False) -> dict[str, Any]:
        """Return the result of a background save; empty if none has ended since the last call."""
        return _save_reply(lambda: self.state_writer.poll(wait=wait))

    def _decision_fields(self, decisions: Decisions) -> dict[str, Any]:
        training = self._require_training()
        return {
            "sparse": decisions.sparse, "is_best": decisions.is_best,
            "metrics": training.metrics, "best": training.best,
        }  # fmt: skip

    def _add_digest(self, result: RunResult) -> None:
        """Add the state digest, unless it is there or the last tick failed and has no state."""
        training, sparse = self._require_training(), result.decisions.sparse
        if not result.failure and all(column != "state" for column, _, _ in sparse):
            sparse.append(("state", training.ticks_done, state_digest(training.trainer)))


def _save_reply(save: Callable[[], state_files.SaveResult | None]) -> dict[str, Any]:
    """Return a save's result; {"detail": message} if the disk refused it."""
    try:
        return {**(save() or {})}
    except (OSError, SafetensorError) as error:
        return {"detail": str(error)}


def redirect_output(log: str) -> None:
    """Append this process's standard output and error, also those of C code, to a file."""
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
