"""serve.py from outside: what it starts, says, refuses, and leaves behind."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from jobs.store.connection import connect
from serving.admin_key import write_client_config
from tests.needs import needs
from tests.processes import JobClient, MarkedProcesses, ServiceProcess, running_service, send_signal
from tests.support import ADMIN_KEY, ROOT, running_store, small_spec, wait_until

LONG = small_spec(budget={"ticks": 100_000_000}, compute={"engine": "eager"})


def refused(command: list[str], folder: Path, **env: str) -> tuple[int, str]:
    """Run a command that must end by itself, saying why in one line; its exit code and that."""
    marked = MarkedProcesses()
    ran = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=marked.make_environment(folder, **env),
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    *steps, line = ran.stderr.splitlines()
    assert ran.stdout == "" and all(step.startswith("starting ") for step in steps), ran.stderr
    assert not marked.living_processes()
    return ran.returncode, line


class EndWatcher:
    """Notes which processes had ended at each look, by their role."""

    def __init__(self, service: ServiceProcess, roles: tuple[str, ...]) -> None:
        self._ended: list[set[str]] = []
        self._roles = {
            os.pidfd_open(process.pid): role
            for role in roles
            for process in service.processes.processes_of(role)
        }
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def ended_roles(self) -> list[set[str]]:
        """Wait for the end of all processes; return the roles that ended at each look, in order."""
        self._thread.join(60)
        return self._ended

    def _watch(self) -> None:
        poller = select.poll()
        for descriptor in self._roles:
            poller.register(descriptor, select.POLLIN)
        while self._roles:
            descriptors = [descriptor for descriptor, _ in poller.poll()]
            self._ended.append({self._roles.pop(descriptor) for descriptor in descriptors})
            for descriptor in descriptors:
                poller.unregister(descriptor)
                os.close(descriptor)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("serve")
    settings = {"TICKFORGE_STALL_SECONDS": "1", "TICKFORGE_LOG_FORMAT": "json"}
    with running_service(folder, **settings, TICKFORGE_WORKRES="3") as running:
        yield running


@pytest.fixture(scope="module")
def jobs(service: ServiceProcess) -> JobClient:
    return JobClient(service)


def test_the_ready_line_is_true(service: ServiceProcess) -> None:
    assert re.fullmatch(r"tickforge ready http://127\.0\.0\.1:\d+\n", service.ready_line)
    with service.http as http:
        assert http.get("/readyz").status_code == 200
        (worker,) = http.get("/v1/workers").json()["data"]
    assert worker["pid"] == service.processes.processes_of("worker")[0].pid
    assert worker["queue"] == "cpu" and worker["fingerprint"]["canary"]


def test_a_start_tells_what_it_waits_for(service: ServiceProcess) -> None:
    lines = [entry["event"] for entry in log_entries(service) if entry["part"] == "serve"]
    steps = [line.split(",")[0] for line in lines if line.startswith("starting")]
    assert steps == ["starting the store", "starting API and workers (1)"]


def test_the_local_users_client_is_configured(service: ServiceProcess) -> None:
    config = json.loads((service.folder / "config" / "tickforge" / "config.json").read_text())

    assert config["url"] == service.url
    headers = {"Authorization": f"Bearer {config['key']}"}
    assert httpx.get(f"{service.url}/v1/jobs", headers=headers).status_code == 200


def test_a_second_serve_on_the_same_folder_is_refused(
    service: ServiceProcess, tmp_path: Path
) -> None:
    data = service.folder / "data"
    code, message = refused(["serve.py", "--port", "0", "--data", str(data)], tmp_path)
    assert code == 1
    assert f"{data} is in use by another serve.py" in message


def test_no_process_but_fork_server_and_trainer_has_torch_loaded(
    service: ServiceProcess, jobs: JobClient
) -> None:
    jobs.wait_for_tick(jobs.submit(LONG), 1)
    loaded = {
        role: ["libtorch" in Path(f"/proc/{process.pid}/maps").read_text() for process in processes]
        for role in ("serve", "api", "worker", "child", "template", "trainer")
        if (processes := service.processes.processes_of(role))
    }
    assert loaded.pop("template") == [True] and loaded.pop("trainer") == [True]
    assert set(loaded) == {"serve", "api", "worker", "child"}
    assert not any(sum(loaded.values(), []))


@pytest.mark.parametrize("role", ["serve", "template"])
def test_a_process_that_forks_has_one_thread(service: ServiceProcess, role: str) -> None:
    (process,) = service.processes.processes_of(role)
    assert process.num_threads() == 1


def test_api_and_worker_share_most_of_their_memory(service: ServiceProcess) -> None:
    for role in ("serve", "api", "worker", "child"):
        for process in service.processes.processes_of(role):
            memory = process.memory_full_info()
            assert memory.uss < memory.rss / 2, role


def test_a_trainer_that_hangs_is_killed_and_its_job_given_back(
    service: ServiceProcess, jobs: JobClient
) -> None:
    (job_id,) = [job["id"] for job in jobs.running_jobs()]
    (trainer,) = service.processes.processes_of("trainer")

    send_signal(trainer, signal.SIGSTOP)

    jobs.wait_for(job_id, lambda job: job["attempt"] == 2 and job["phase"] == "training")
    assert not trainer.is_running()
    first, _ = jobs.attempts(job_id)
    assert "stood still" in first["outcome"]
    jobs.request(job_id, "cancel")
    assert jobs.wait_for_end(job_id)["status"] == "cancelled"


def test_a_job_posted_while_the_fork_server_is_dead_waits_for_the_next(
    service: ServiceProcess, jobs: JobClient
) -> None:
    (dead,) = service.processes.processes_of("template")
    service.processes.kill("template")

    assert jobs.wait_for_end(jobs.submit(small_spec()))["status"] == "succeeded"
    (fork_server,) = service.processes.processes_of("template")
    assert fork_server.pid != dead.pid


def test_a_variable_that_is_no_setting_is_told_once(service: ServiceProcess) -> None:
    warnings = [entry["event"] for entry in log_entries(service) if "WORKRES" in entry["event"]]
    assert warnings == ["TICKFORGE_WORKRES is no setting and has no effect; "
                    "did you mean TICKFORGE_WORKERS?"]  # fmt: skip


def test_a_second_service_leaves_the_client_of_a_running_one_alone(
    service: ServiceProcess, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    assert write_client_config(path, service.url, "first") is None
    assert write_client_config(path, "http://127.0.0.1:1", "second") == service.url
    assert json.loads(path.read_text())["key"] == "first"


def log_entries(service: ServiceProcess) -> list[dict[str, str]]:
    """Return all that serve.py and its children have written, each line of which is JSON."""
    return [json.loads(line) for line in (service.folder / "stderr").read_text().splitlines()]


def test_the_log_has_every_step_of_a_job(service: ServiceProcess, jobs: JobClient) -> None:
    job_id = jobs.submit(small_spec())
    jobs.wait_for_end(job_id)
    log = (service.folder / "data" / "artifacts" / "default" / job_id / "log.txt").read_text()
    for fragment in ("attempt 1 by", "built 29 parameters, eager, cpu", "succeeded at tick 20"):
        assert fragment in log


def test_a_stop_leaves_no_process_and_no_temporary_folder(
    service: ServiceProcess, jobs: JobClient
) -> None:
    (folder,) = {Path(part) for part in service.processes.processes_of("template")[0].cmdline()[3:]}
    job_id = jobs.submit(LONG)
    jobs.wait_for_tick(job_id, 100)
    watcher = EndWatcher(service, ("api", "worker", "child", "trainer", "store"))

    code, seconds, rest = service.stop()

    assert (code, rest, service.processes.living_processes()) == (0, "", [])
    *earlier, last = watcher.ended_roles()
    assert "store" in last and "store" not in set().union(*earlier)
    assert seconds < 15
    assert not folder.parent.exists()
    entries = log_entries(service)
    assert all({"part", "event", "level", "timestamp"} <= set(entry) for entry in entries)
    assert {"serve", "store", "api", "worker", "runner"} <= {entry["part"] for entry in entries}
    assert not [entry for entry in entries if "Traceback" in json.dumps(entry)]
    assert sorted(path.name for path in (service.folder / "data").iterdir()) == [
        "admin.key", "artifacts", "serve.lock", "store",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("TICKFORGE_PORT", "70000", "a whole number from 0 to 65535"),
        ("TICKFORGE_HOST", "no-such-host.invalid", "a name or an address of this machine"),
        ("TICKFORGE_WORKERS", "0", "a whole number from 1 to 256"),
        ("TICKFORGE_LEASE_SECONDS", "soon", "a number from 1 to 3600"),
        ("TICKFORGE_LOG_FORMAT", "xml", "one of json, text"),
        ("TICKFORGE_ARTIFACTS_URL", "s3://bucket", "file:// and an absolute path"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(
    tmp_path: Path, name: str, value: str, rule: str
) -> None:
    data = tmp_path / "data"
    code, message = refused(["serve.py", "--data", str(data)], tmp_path, **{name: value})
    assert code == 2
    assert f"{name}={value!r}: " in message and rule in message
    assert not data.exists()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("TICKFORGE_ADMIN_KEY", "hunter2", "32 or more"),
        ("TICKFORGE_REDIS_URL", "http://h?password=hunter2", "redis://, rediss:// or unix://"),
    ],
)
def test_a_key_or_address_is_refused_without_being_shown(
    tmp_path: Path, name: str, value: str, rule: str
) -> None:
    data = str(tmp_path / "data")
    code, message = refused(["serve.py", "--data", data], tmp_path, **{name: value})
    assert code == 2
    assert name in message and rule in message and "hunter2" not in message


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = ["serve.py", "--port", str(port), "--data", str(tmp_path / "data")]
        code, message = refused(command, tmp_path)
    assert code == 1
    assert f"127.0.0.1:{port}" in message and "TICKFORGE_PORT" in message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("appendfsync", "everysec", ["serve.py", "--port", "0"]),
        ("maxmemory-policy", "allkeys-lru", ["serve.py", "--port", "0"]),
        ("appendonly", "no", ["-m", "workers"]),
    ],
)
def test_a_store_that_would_lose_jobs_is_refused(
    tmp_path: Path, name: str, value: str, command: list[str]
) -> None:
    env = {"TICKFORGE_DATA_DIR": str(tmp_path / "data"), "TICKFORGE_ADMIN_KEY": ADMIN_KEY}
    with running_store() as server:
        client = connect(server.url)
        client.config_set(name, value)
        client.close()
        code, message = refused(command, tmp_path, TICKFORGE_REDIS_URL=server.url, **env)
    assert code == 2
    assert f"the store has {name}={value}, needed is" in message


def test_a_background_job_of_a_script_stops_in_order_on_sigint(tmp_path: Path) -> None:
    inherited = {signal.SIGINT, signal.SIGQUIT}  # ignored in such a job
    dispositions = {number: signal.signal(number, signal.SIG_IGN) for number in inherited}
    try:
        with running_service(tmp_path) as service:
            (serve,) = service.processes.processes_of("serve")
            children = service.processes.processes_of("api") + service.processes.processes_of(
                "worker"
            )
            ignored = [ignored_signals(process.pid) for process in (serve, *children)]
            assert not inherited & set().union(*ignored)

            send_signal(serve, signal.SIGINT)

            wait_until(
                lambda: not service.processes.living_processes(), 15, "the end of all processes"
            )
            assert service.stop()[0] == 0
    finally:
        for number, disposition in dispositions.items():
            signal.signal(number, disposition)


def ignored_signals(pid: int) -> set[signal.Signals]:
    """Return the signals that a process ignores, of those that have a name."""
    mask = int(re.findall(r"SigIgn:\s(\w+)", Path(f"/proc/{pid}/status").read_text())[0], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


@needs("redis-server")
def test_redis_server_of_path_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = Path(shutil.which("redis-server") or "")
    monkeypatch.setattr("faults.store_server.find_server", lambda: binary)
    with (
        running_store() as server,
        running_service(tmp_path, TICKFORGE_REDIS_URL=server.url) as service,
    ):
        assert psutil.Process(server.pid).name() == "redis-server"
        jobs = JobClient(service)
        job_id = jobs.submit(small_spec(budget={"ticks": 3000}, compute={"engine": "eager"}))
        jobs.wait_for_tick(job_id, 100)
        server.kill()
        server.start()
        job = jobs.wait_for_end(job_id)
        assert (job["status"], job["tick"], job["attempt"]) == ("succeeded", 3000, 1)
        code, _, _ = service.stop()
        assert (code, service.processes.living_processes()) == (0, [])
