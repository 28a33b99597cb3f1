"""/healthz and /readyz at the edges of a process's life: while it stops, and without a store."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx

from api.app import create_app
from api.long_polling import LONG_POLLER_EXTENSION
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.support import ROOT, process_environment


def test_a_process_that_stops_is_alive_and_not_ready(settings: Settings, store: Store) -> None:
    app = create_app(settings, store)
    client = app.test_client()
    assert client.get("/readyz").status_code == 200

    app.extensions[LONG_POLLER_EXTENSION].notice_listener.close()

    response = client.get("/readyz")
    assert response.status_code == 503 and response.headers["Retry-After"] == "2"
    assert response.get_json()["type"].endswith("stopping")
    assert client.get("/healthz").status_code == 200


def test_an_api_on_an_inherited_socket_answers_while_the_store_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number, port = listener.fileno(), listener.getsockname()[1]
        env = process_environment(f"unix://{tmp_path}/none", tmp_path, TICKFORGE_API_FD=str(number))
        api = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=env, pass_fds=(number,),
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        response = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=50, verify=False)
        assert response.status_code == 503 and "Retry-After" in response.headers
        assert response.json()["type"].endswith("store-away")
    finally:
        api.terminate()
        assert api.wait(30) == 0
