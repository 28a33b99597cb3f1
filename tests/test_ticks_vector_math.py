"""MKL chooses its vector math's kernels on one thread, in every process that computes.

Where it first chose on two threads at once, 1 of 600 trainers gave other bits (`make threads`).
"""

import ast
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.checkpoint_source import make_module
from tests.processes import running_fork_server
from tests.support import ROOT
from tests.test_models_predictions import ARRAYS
from tests.test_ticks_commands import WIDE
from tests.training_records import read_small_spec
from ticks import __main__ as program
from ticks.process import forkserver
from ticks.process.commands import CommandHandler
from workers.forkserver_client import ForkServerProcess, spawn_trainer
from workers.trainer_client import TrainerClient

CHILDREN, TICKS = 60, 3
SPLIT = 32768  # numbers: of more than that torch gives each thread a part
#: what torch has MKL's vector math compute, as the names of operators
VECTOR_MATH = {"aten.sqrt", "aten.exp", "aten.log", "aten.tanh", "aten.erf", "aten.sin"}
THREADED = {**ARRAYS, "threads": 99}
Calls = list[tuple[str, int]]  # an operator and the numbers that it gave


class OperatorLog(TorchDispatchMode):
    """Notes every operator inside."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Calls = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        count = result.numel() if isinstance(result, torch.Tensor) else 0
        self.calls.append((str(func.overloadpacket), count))
        return result


class ThreadsSet(Exception):
    """The number of threads was about to be set."""


DOORS: dict[str, Callable[[CommandHandler], object]] = {
    "build": lambda trainer: trainer.build(read_small_spec(**WIDE).model_dump(mode="json"), "cpu"),
    "canary": lambda trainer: trainer.canary(2, "cpu"),
    "selftest": lambda trainer: trainer.selftest("cpu"),
    "model.py": lambda _trainer: make_module(THREADED).training_threads().__enter__(),
    "python -m ticks": lambda _trainer: program.train(read_small_spec(**WIDE)),
}


@pytest.fixture
def trainer() -> Iterator[CommandHandler]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield CommandHandler(ours)


@pytest.mark.parametrize("door", DOORS)
def test_the_vector_math_is_set_up_on_one_thread_before_there_can_be_two(
    door: str, trainer: CommandHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_threads: int) -> None:
        raise ThreadsSet

    monkeypatch.setattr(torch, "set_num_threads", refuse)
    with OperatorLog() as log, pytest.raises(ThreadsSet):
        DOORS[door](trainer)
    assert VECTOR_MATH & {name for name, _ in log.calls}
    assert all(count <= 1 for _, count in log.calls)


def test_only_machine_and_model_py_set_the_number_of_threads() -> None:
    files = [file for room in ("ticks", "models") for file in (ROOT / room).rglob("*.py")]
    setting = {file.relative_to(ROOT) for file in files if sets_threads(file)}
    assert setting == {Path("ticks/machine.py"), Path("models/checkpoint_module.py")}


def sets_threads(file: Path) -> bool:
    nodes = ast.walk(ast.parse(file.read_text()))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return bool(names & {"set_num_threads", "set_num_interop_threads"})


def test_the_fork_server_runs_no_operator() -> None:
    with OperatorLog() as log:
        forkserver.preload()
    assert log.calls == []


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServerProcess]:
    with running_fork_server() as fork_server:
        yield fork_server


def test_60_forked_trainers_of_two_threads_have_one_digest(fork_server: ForkServerProcess) -> None:
    spec = read_small_spec(**WIDE)
    assert max(spec.model.hidden) ** 2 > SPLIT  # its largest weight
    stored = spec.model_dump(mode="json")
    assert Counter(state_digest(fork_server, stored) for _ in range(CHILDREN)).most_common() == [
        (state_digest(fork_server, stored), CHILDREN)
    ]
    assert len(os.listdir(f"/proc/{fork_server.pid}/task")) == 1


def state_digest(fork_server: ForkServerProcess, spec: dict[str, Any]) -> str:
    """The digest of a fresh trainer's weights and optimizer after a few ticks."""
    process = spawn_trainer(fork_server.socket_path)
    try:
        trainer = TrainerClient(process.connection)
        trainer.build(spec, "cpu", None)
        return trainer.run(TICKS, digest=True).sparse[-1].bits.hex()
    finally:
        process.close()
