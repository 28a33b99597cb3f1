"""`python -m api` as a process of a test, on a store that the test can write to."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support import ADMIN_KEY, ROOT, process_environment, wait_until


@contextmanager
def running_api(url: str, data: Path, **env: str) -> Iterator[httpx.Client]:
    """Run the API as a process on an inherited socket; it is ended by SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = str(listener.fileno())
        environment = process_environment(url, data, TICKFORGE_API_FD=number, **env)
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=environment, pass_fds=(int(number),),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0,
        )  # fmt: skip
        port = listener.getsockname()[1]
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=10,
            verify=False,
        ) as client:
            wait_until(lambda: is_ready(client, process), 20, "the API's first answer")
            yield client
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert (process.returncode, output) == (0, b"")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def is_ready(client: httpx.Client, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the API has refused to start"
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
