"""A store that is run separately: TCP, users with few rights, several workers."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import NoPermissionError

from jobs.errors import UnsafeStore
from jobs.store.connection import Store, check_store, connect, wait_ready
from serving.embedded_store import DURABILITY_SETTINGS, find_server
from tests.api_process import running_api
from tests.support import ROOT, process_environment, small_spec, wait_until
from tests.test_api_server import refusal

PASSWORDS = {"api": "the-api's-password", "worker": "the-worker's-password"}
QUOTED = {user: text.replace("'", "%27") for user, text in PASSWORDS.items()}
UNCHECKED = {"TICKFORGE_STORE_UNCHECKED": "1"}
TABLE = b"x,y\n" + b"".join(b"%d,%d\n" % (n, 2 * n) for n in range(32))
REFUSED: tuple[tuple[str, ...], ...] = (
    ("KEYS", "*"), ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "appendonly"), ("SHUTDOWN",),
    ("DEBUG", "SLEEP", "0"), ("ACL", "LIST"), ("SET", "foreign", "1"), ("GET", "foreign"),
    ("PUBLISH", "a", "b"), ("SUBSCRIBE", "a"), ("MONITOR",), ("REPLICAOF", "NO", "ONE"),
    ("EVAL", "return redis.call('GET', 'foreign')", "0"),
    ("EVAL", "return redis.call('KEYS', '*')", "0"),
    ("MIGRATE", "127.0.0.1", "1", "job:x", "0", "1"), ("FUNCTION", "LIST"), ("SORT", "queues"),
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A store behind an ACL file."""

    port: int

    def url(self, user: str) -> str:
        """An address with a user's password: the worker's has all in its options."""
        if user == "worker":
            credentials = f"username={user}&password={QUOTED[user]}"
            return f"redis://127.0.0.1:{self.port}?{credentials}&db=2&health_check_interval=5"
        return f"redis://{user}:{QUOTED[user]}@127.0.0.1:{self.port}/2"

    def as_user(self, user: str) -> Store:
        """A client of a user."""
        return connect(self.url(user))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The valkey binary on a free loopback port, with deploy/users.acl as its users."""
    folder = tmp_path_factory.mktemp("external")
    users = (ROOT / "deploy" / "users.acl").read_text()
    for user, password in PASSWORDS.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        users = users.replace(f"#SHA256-OF-THE-PASSWORD-OF-{user} ", f"#{digest} ")
    (folder / "users.acl").write_text(users)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        command(folder, port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0
    )
    try:
        server = Server(port)
        client = server.as_user("api")
        assert wait_ready(client, 10), "the store does not answer"
        client.close()
        yield server
    finally:
        process.kill()
        process.wait()


def command(folder: Path, port: int) -> list[str]:
    settings = {
        **DURABILITY_SETTINGS,
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "aclfile": str(folder / "users.acl"),
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return [str(find_server()), *flags]


def test_the_file_is_not_loaded_before_it_has_passwords(tmp_path: Path) -> None:
    shutil.copy(ROOT / "deploy" / "users.acl", tmp_path)
    completed = subprocess.run(command(tmp_path, 0), capture_output=True, text=True, timeout=20)
    assert completed.returncode != 0 and "users.acl:2" in completed.stdout


def test_a_store_with_passwords_refuses_a_client_without_one(server: Server) -> None:
    client = connect(f"redis://127.0.0.1:{server.port}/0")
    with pytest.raises(Exception, match="(?i)auth"):
        client.ping()
    client.close()


@pytest.mark.parametrize("user", ["api", "worker"])
def test_dangerous_commands_and_foreign_keys_are_refused(server: Server, user: str) -> None:
    client = server.as_user(user)
    for command in REFUSED:
        with pytest.raises(Exception, match="(?i)no permissions|ACL failure|not allowed"):
            client.execute_command(*command)
    client.close()


def test_a_worker_cannot_read_access_keys(server: Server) -> None:
    client = server.as_user("worker")
    for name in ("access:key:key_a", "access:index", "limit:key_a"):
        with pytest.raises(NoPermissionError):
            client.type(name)
        with pytest.raises(Exception, match="ACL failure"):
            client.eval(f"return redis.call('TYPE', '{name}')", 0)
    client.close()


def test_a_store_that_refuses_config_must_be_vouched_for(server: Server, tmp_path: Path) -> None:
    client = server.as_user("api")
    with pytest.raises(UnsafeStore, match="TICKFORGE_STORE_UNCHECKED=1"):
        check_store(client)
    check_store(client, unchecked=True)
    client.close()
    line = refusal(**process_environment(server.url("api"), tmp_path))
    assert "appendfsync always" in line and "TICKFORGE_STORE_UNCHECKED=1" in line
    assert PASSWORDS["api"] not in line and QUOTED["api"] not in line


def test_two_workers_train_on_one_store_each_job_once(server: Server, tmp_path: Path) -> None:
    with ExitStack() as held:
        api = held.enter_context(running_api(server.url("api"), tmp_path, **UNCHECKED))
        held.callback(check_no_password, tmp_path)
        for name in ("first", "second"):
            held.callback(end, work(server.url("worker"), tmp_path, name))
        wait_until(lambda: len(api.get("/v1/workers").json()["data"]) == 2, 40, "both workers")
        spec = small_spec(budget={"ticks": 600}, validation={"fraction": 0.25, "every_ticks": 200})
        data = api.post("/v1/datasets", content=TABLE, headers={"Content-Type": "text/csv"}).json()
        table = {"data": {"source": "dataset", "id": data["id"], "target": "y"}}
        on_data = api.post("/v1/jobs", json=small_spec(**table)).json()["id"]
        ids = [api.post("/v1/jobs", json=spec).json()["id"] for _ in range(4)]
        stream_text = api.get(
            f"/v1/jobs/{ids[0]}/events", headers={"Accept": "text/event-stream"}
        ).text
        assert '"status":"succeeded"' in stream_text
        assert api.get(f"/v1/jobs/{on_data}?wait=30&until=end").json()["status"] == "succeeded"
        assert api.get(f"/v1/jobs/{on_data}/logs").text
        assert api.delete(f"/v1/datasets/{data['id']}").status_code == 204
        jobs = [wait_until(lambda item=item: ended(api, item), 40, "a job's end") for item in ids]
        assert {job["status"] for job in jobs} == {"succeeded"}, jobs
        assert {job["tick"] for job in jobs} == {600}
        attempts = [api.get(f"/v1/jobs/{item}/attempts").json()["data"] for item in ids]
        assert [len(item) for item in attempts] == [1] * 4
        assert {item[0]["worker"] for item in attempts} == {"first", "second"}
        losses = {api.get(f"/v1/jobs/{item}/history?limit=600").json()["loss"][-1] for item in ids}
        assert len(losses) == 1, "the same spec gives the same bits on either worker"
        files = api.get(f"/v1/jobs/{ids[0]}/checkpoints/final/files/model.safetensors")
        assert files.status_code == 200
        assert api.delete(f"/v1/jobs/{ids[0]}").status_code == 204
        response = api.post("/v1/keys", json={"tenant": "a", "scopes": ["read"]})
        key = {"Authorization": f"Bearer {response.json()['secret']}"}
        assert api.get("/v1/jobs", headers=key).json()["data"] == []
        assert 'tickforge_jobs{status="succeeded"} 4' in api.get("/metrics").text


def check_no_password(data: Path) -> None:
    for log in data.glob("*.log"):
        assert PASSWORDS["worker"] not in (text := log.read_text()) and QUOTED["worker"] not in text


def work(url: str, data: Path, name: str) -> "subprocess.Popen[bytes]":
    env = {**process_environment(url, data, **UNCHECKED), "OMP_NUM_THREADS": "1"}
    with (data / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workers", "--name", name],
            cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
        )  # fmt: skip


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ended(api: httpx.Client, job_id: str) -> Any:
    job = api.get(f"/v1/jobs/{job_id}").json()
    return job if job["finished_at"] else None
