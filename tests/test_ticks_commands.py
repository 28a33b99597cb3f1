"""A real fork server and the trainers it forks, commanded as a runner does it."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults import thread_specs
from jobs.trainer_frames import PeerGone, receive_frame, send_frame
from tests.answering import checkpoint_files
from tests.dataset_home import import_model_file
from tests.needs import CPP_COMPILER, needs
from tests.processes import running_fork_server
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks import state_files
from ticks.process import forkserver
from workers.forkserver_client import ForkServerProcess, connect, spawn_trainer
from workers.trainer_client import TrainerClient, TrainerError, TrainerProcess

RICH: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [6, 5], "dropout": 0.25},
    "validation": {"fraction": 0.25, "every_ticks": 8},
    "record": ["loss", "grad_norm"],
    "budget": {"ticks": 40},
}
#: large enough that its products are split between threads
WIDE: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [256, 256], "dropout": 0.1},
    "data": {"source": "synthetic", "kind": "regression", "samples": 256, "features": 64},
    "batch_size": 128,
    "budget": {"ticks": 12},
    "compute": {"threads": 2},
}
Spawn = Callable[[], tuple[TrainerProcess, TrainerClient]]


#: torch's compiler takes as long to import as torch: here nothing can import it
WITHOUT_COMPILER = "import sys; sys.modules['torch._dynamo'] = None"


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServerProcess]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(WITHOUT_COMPILER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        with running_fork_server() as fork_server:
            yield fork_server


@pytest.fixture
def spawn(fork_server: ForkServerProcess) -> Iterator[Spawn]:
    """Spawn trainers, and close them at the end."""
    processes: list[TrainerProcess] = []

    def spawn_one() -> tuple[TrainerProcess, TrainerClient]:
        processes.append(spawn_trainer(fork_server.socket_path))
        return processes[-1], TrainerClient(processes[-1].connection)

    yield spawn_one
    for process in processes:
        process.close()


MEASURED = ("val_loss", "val_r2", "val_mae", "val_rmse")


def build(trainer: TrainerClient, log: Path | None = None, **changes: Any) -> dict[str, Any]:
    return trainer.build(read_small_spec(**changes).to_stored(), "cpu", log)


def threads(pid: int | None) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def is_gone(process: TrainerProcess, seconds: float = 5) -> bool:
    return bool(select.select([process.pidfd], [], [], seconds)[0])


def finish(trainer: TrainerClient, k: int = 7) -> tuple[dict[str, bytes], list[Any], Any]:
    """Run to the end; the columns, the sparse points, the last answer."""
    columns: dict[str, bytes] = {}
    sparse: list[Any] = []
    while True:
        ran = trainer.run(k)
        for name, values in ran.columns.items():
            columns[name] = columns.get(name, b"") + values.tobytes()
        sparse += ran.sparse
        if ran.end_reason or ran.failure:
            return columns, sparse, ran


def test_a_trainer_gives_the_bits_of_a_training_in_this_process(spawn: Spawn) -> None:
    _, trainer = spawn()
    built = build(trainer, **RICH)
    columns, sparse, last = finish(trainer)
    record = run_and_record(start_training(read_small_spec(**RICH)))
    assert columns == record.columns
    assert [(p.column, p.tick) for p in sparse] == [(name, tick) for name, tick, _ in record.sparse]
    assert (last.end_reason, last.last, last.epoch) == ("budget", 40, 40 / 3)
    assert repr(last.metrics) == record.metrics and repr(last.best) == record.best
    assert built["engine"] == "eager" and built["parameters"] == 3 * 6 + 6 + 12 + 35 + 10 + 6
    assert {"engine", "torch", "device", "threads", "cpu"} <= built["fingerprint"].keys()


@needs(CPP_COMPILER)
def test_a_trainer_by_the_graph_engine_gives_the_same_bits_and_names_it(spawn: Spawn) -> None:
    _, trainer = spawn()
    built = build(trainer, **RICH, compute={"engine": "graph"})
    columns, sparse, _ = finish(trainer)
    record = run_and_record(start_training(read_small_spec(**RICH)))
    assert columns == record.columns
    assert [(p.column, p.tick) for p in sparse] == [(name, tick) for name, tick, _ in record.sparse]
    assert built["engine"] == "graph" and built["engine_note"] == "the spec names it"
    assert built["fingerprint"]["engine"].startswith("graph-")


@pytest.mark.parametrize("name", thread_specs.SPECS)
def test_no_trainer_imports_torchs_compiler(spawn: Spawn, name: str, tmp_path: Path) -> None:
    """A fork server would have to import it before, or each trainer would spend a second."""
    _, trainer = spawn()
    trainer.build(thread_specs.make_spec(name, 1), "cpu", None)
    assert trainer.run(1).count == 1
    trainer.save(tmp_path)


def test_a_state_saved_by_one_trainer_is_resumed_by_another(spawn: Spawn, tmp_path: Path) -> None:
    _, straight = spawn()
    build(straight, **RICH)
    columns, sparse, last = finish(straight)
    _, first = spawn()
    build(first, **RICH)
    head = first.run(8)
    head_more = first.run(5)
    saved = first.save(tmp_path)
    _, second = spawn()
    build(second, **RICH)
    loaded = second.load(tmp_path)
    assert (
        (loaded["tick"], loaded["state"])
        == (13, saved.state_digest)
        == (saved.tick, saved.state_digest)
    )
    assert loaded["metrics"] == saved.metrics == head_more.metrics and loaded["end_reason"] is None
    rest, rest_sparse, rest_last = finish(second)
    for name, bits in columns.items():
        assert head.columns[name].tobytes() + head_more.columns[name].tobytes() + rest[name] == bits
    assert head.sparse + head_more.sparse + rest_sparse == sparse
    assert rest_last == last or (rest_last.metrics, rest_last.best) == (last.metrics, last.best)


def test_two_threads_are_equal_bits_twice_and_when_resumed(spawn: Spawn, tmp_path: Path) -> None:
    columns = []
    for _ in range(2):
        _, trainer = spawn()
        build(trainer, **WIDE)
        columns.append(finish(trainer)[0]["loss"])
    assert columns[0] == columns[1]
    process, trainer = spawn()
    build(trainer, **WIDE)
    head = trainer.run(5).columns["loss"].tobytes()
    trainer.save(tmp_path)
    assert threads(process.pid) >= 3  # main, the one that watches the socket, torch's second
    _, trainer = spawn()
    build(trainer, **WIDE)
    trainer.load(tmp_path)
    assert head + finish(trainer)[0]["loss"] == columns[0]


def test_the_fork_server_has_one_thread_whatever_its_trainers_do(
    fork_server: ForkServerProcess, spawn: Spawn
) -> None:
    for _ in range(2):
        _, trainer = spawn()
        build(trainer, **WIDE)
        trainer.run(2)
        assert threads(fork_server.pid) == 1


FORK_BEFORE_AND_AFTER_AN_OPERATOR = """
import os, time, torch

def multiply():
    torch.set_num_threads(2)
    ones = torch.ones(512, 512)
    ones @ ones

def child_within(seconds):
    pid = os.fork()
    if pid == 0:
        multiply()
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return "passed"
        time.sleep(0.02)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hung"

before = child_within(20)
multiply()
print(before, child_within(2))
"""


def test_a_fork_after_an_operator_hangs() -> None:
    completed = subprocess.run(
        [sys.executable, "-c", FORK_BEFORE_AND_AFTER_AN_OPERATOR],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert completed.stdout.strip() == "passed hung"


def test_a_state_digest_is_given_on_request_and_once_a_tick(spawn: Spawn, tmp_path: Path) -> None:
    _, trainer = spawn()
    build(trainer, **RICH)
    assert [p.column for p in trainer.run(3).sparse] == []
    assert [(p.column, p.tick) for p in trainer.run(2, digest=True).sparse] == [("state", 5)]
    at_8 = trainer.run(3, digest=True).sparse
    assert [p.column for p in at_8] == [*MEASURED, "state"]
    assert at_8[-1].bits[::-1].hex() == trainer.save(tmp_path).state_digest


def test_a_validation_is_announced_and_made_once_a_tick(spawn: Spawn) -> None:
    _, trainer = spawn()
    phases: list[str] = []
    trainer.on_phase = phases.append
    build(trainer, **RICH)
    trainer.run(5)
    first = trainer.validate(5)
    assert [(p.column, p.tick) for p in first.sparse] == [
        (name, 5) for name in (*MEASURED, "state")
    ]
    assert trainer.validate(5).sparse == [] and phases == ["validating"]


def test_a_failure_names_its_tick(spawn: Spawn) -> None:
    _, trainer = spawn()
    build(trainer, optimizer={"name": "sgd", "lr": 10}, budget={"ticks": 2000})
    _, _, last = finish(trainer, k=1000)
    assert last.failure is not None and last.failure["tick"] == last.last
    assert not np.isfinite(last.columns["loss"][-1])


def test_an_exception_is_reported_logged_and_ends_the_trainer(spawn: Spawn, tmp_path: Path) -> None:
    process, trainer = spawn()
    log = tmp_path / "log"
    log.write_text("what the runner wrote\n")
    build(trainer, log=log, **RICH)
    with pytest.raises(TrainerError) as fault:
        trainer.load(tmp_path)
    assert fault.value.kind == "FileNotFoundError" and "state.json" in fault.value.detail
    assert "in load" in fault.value.traceback
    assert is_gone(process)
    assert log.read_text().startswith("what the runner wrote\nTraceback")


def test_a_closed_socket_ends_a_trainer_in_the_middle_of_its_ticks(spawn: Spawn) -> None:
    process, trainer = spawn()
    build(trainer, budget={"ticks": 10**9}, compute={"engine": "eager"})
    send_frame(trainer.connection, "run", {"ticks": 10**9, "digest": False})
    assert not is_gone(process, 0.3)
    trainer.connection.shutdown(socket.SHUT_RDWR)
    assert is_gone(process)


def test_a_killed_trainer_is_a_closed_socket(spawn: Spawn) -> None:
    process, trainer = spawn()
    build(trainer, **RICH)
    process.kill()
    with pytest.raises(PeerGone):
        finish(trainer)


def test_a_trainer_holds_no_socket_but_its_own(
    fork_server: ForkServerProcess, spawn: Spawn
) -> None:
    spawn()
    process, trainer = spawn()
    build(trainer, **RICH)
    descriptors = Path(f"/proc/{process.pid}/fd").iterdir()
    assert sum(os.readlink(descriptor).startswith("socket:") for descriptor in descriptors) == 1


def test_a_client_that_disconnects_without_a_request_harms_no_other(
    fork_server: ForkServerProcess, spawn: Spawn
) -> None:
    spawn()  # the server answers now
    for word in (b"", b"1"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            connect(client, fork_server.socket_path)
            client.sendall(word)
    _, trainer = spawn()
    assert build(trainer, **RICH)["device"] == "cpu"


def test_a_canary_is_measured_for_a_thread_count(spawn: Spawn) -> None:
    measured = [spawn()[1].canary(number, "cpu") for number in (1, 1, 2)]
    assert measured[0] == measured[1]
    assert [len(canary["canary"]) for canary in measured] == [32, 32, 32]
    assert all("eager" in canary["engines"] and canary["torch"] for canary in measured)


def test_the_selftest_describes_this_machine(spawn: Spawn) -> None:
    report = spawn()[1].selftest("cpu")
    assert report["device"] == "cpu" and report["engines"][0] == "eager"
    assert report["canary"] == spawn()[1].canary(1, "cpu")["canary"]
    assert report["ticks_per_second"] > 0


def test_a_socket_is_bound_and_met_at_a_path_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / ("l" * 150) / "socket"
    path.parent.mkdir()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
    ):
        forkserver.bind(listener, str(path))
        listener.listen()
        connect(client, path)
    assert path.is_socket()


def test_a_fork_server_ends_with_its_socket_and_its_trainers_live_on(tmp_path: Path) -> None:
    with running_fork_server() as fork_server:
        process = spawn_trainer(fork_server.socket_path)
        trainer = TrainerClient(process.connection)
        build(trainer, **RICH)
        fork_server.stop()
        assert not fork_server.is_alive
        assert trainer.run(4).last == 4
        process.close()


def test_ticks_that_were_started_are_run_without_anyone_waiting(spawn: Spawn) -> None:
    _, straight = spawn()
    build(straight, **RICH)
    expected = straight.run(5)
    _, trainer = spawn()
    build(trainer, **RICH)
    trainer.start_chunk(5)
    assert select.select([trainer.connection], [], [], 30)[
        0
    ]  # the answer is there before it is wanted
    ran = trainer.wait_chunk()
    assert (ran.first, ran.count, ran.seconds > 0) == (1, 5, True)
    assert ran.columns["loss"].tobytes() == expected.columns["loss"].tobytes()


def test_a_trainer_that_is_gone_is_noticed_where_its_ticks_are_waited_for(spawn: Spawn) -> None:
    process, trainer = spawn()
    build(trainer, **RICH)
    process.kill()
    assert is_gone(process)
    trainer.start_chunk(5)
    with pytest.raises(PeerGone):
        trainer.wait_chunk()


def test_a_trainer_gives_signs_of_life_within_a_chunk(spawn: Spawn) -> None:
    _, trainer = spawn()
    signs: list[bool] = []
    trainer.on_alive = lambda: signs.append(True)
    build(trainer, micro_batches=8, budget={"ticks": 10**6}, compute={"engine": "eager"})
    for _ in range(20):
        if not signs:
            trainer.run(300)
    assert signs


def test_a_child_answers_instead_of_training_and_ends_with_its_socket(
    spawn: Spawn, tmp_path: Path
) -> None:
    training = start_training(read_small_spec())
    run_and_record(training, until=5)
    state_files.save(training, tmp_path)
    checkpoint = {**checkpoint_files(tmp_path), "folder": str(tmp_path)}
    header = {"checkpoint": checkpoint, "threads": 1, "memory_bytes": 1 << 20, "work": "w"}
    process, _ = spawn()

    send_frame(process.connection, "predict", {**header, "request": {"inputs": [[1, 2, 3]]}})
    while (reply := receive_frame(process.connection)).kind == "alive":
        pass
    predictions = import_model_file(tmp_path).predict([[1, 2, 3]])
    assert (reply.kind, reply.header["result"]) == ("answered", {"predictions": predictions})
    process.connection.shutdown(socket.SHUT_RDWR)
    assert is_gone(process, seconds=60)
