"""Forwarded headers: whose count, what they change, and what no client can change by them."""

import dataclasses
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from jobs.errors import InvalidSetting
from jobs.settings import Settings
from tests.api_process import running_api
from tests.datasets import CSV, PETS, upload
from tests.support import ADMIN_KEY, running_store, settings_for, small_spec
from tests.support_api import ReadingClient

PREFIXED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "models.example",
    "X-Forwarded-Prefix": "/train",
}
#: what a stranger may send to be somebody else, or somewhere else
SPOOFED = {
    **PREFIXED,
    "Forwarded": "for=203.0.113.9;host=models.example;proto=https",
    "X-Real-IP": "203.0.113.9",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Protocol": "ssl",
    "X-Forwarded-Port": "443",
    "X-Script-Name": "/train",
}


@pytest.fixture
def behind(settings: Settings, store: Any) -> Any:
    """A client of an app that trusts 10.0.0.0/8."""
    proxies = settings_for(
        settings.redis_url, settings.artifacts, TICKFORGE_TRUSTED_PROXIES="10.0.0.0/8, ::1"
    ).trusted_proxies
    app = create_app(dataclasses.replace(settings, trusted_proxies=proxies))
    app.test_client_class = ReadingClient
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    return client


def links_of(client: Any, address: str, headers: dict[str, str]) -> list[str]:
    """All links of answers to a client at this address."""
    client.environ_base["REMOTE_ADDR"] = address
    job = client.post("/v1/jobs", json=small_spec(), headers=headers)
    table = upload(client, PETS, CSV)
    client.environ_base |= {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in headers.items()}
    table, home = client.get(table.headers["Location"][-42:]), client.get("/")
    listed = client.get("/v1/datasets").json["data"][0]
    page = client.get("/docs").get_data(as_text=True)
    hrefs = [part.partition('"')[0] for part in page.split('href="')[1:]]
    return [
        job.headers["Location"],
        *job.json["links"].values(),
        *client.get("/v1/jobs").json["data"][0]["links"].values(),
        *table.json["links"].values(),
        *listed["links"].values(),
        *home.json["links"].values(),
        *hrefs,
    ]


@pytest.mark.parametrize("address", ["10.1.2.3", "::1", "::ffff:10.0.0.9"])
def test_links_begin_with_the_prefix_of_a_trusted_proxy(behind: Any, address: str) -> None:
    links = links_of(behind, address, PREFIXED)

    assert len(links) > 30 and all(link.startswith("/train/") for link in links), links


@pytest.mark.parametrize("address", ["192.0.2.1", "::2", ""])
def test_forwarded_headers_of_others_change_nothing(behind: Any, address: str) -> None:
    links = links_of(behind, address, SPOOFED)

    assert not any("train" in link or "example" in link for link in links), links


def test_nobody_is_trusted_by_default(client: Any) -> None:
    links = links_of(client, "127.0.0.1", SPOOFED)

    assert not any("train" in link or "example" in link for link in links), links


@pytest.mark.parametrize("value", ["10.0.0.0/33", "localhost", "10.0.0.1/8", "*"])
def test_a_wrong_network_is_an_error_that_names_it(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidSetting, match="TICKFORGE_TRUSTED_PROXIES='.*': IP addresses"):
        settings_for("unix:///x", tmp_path, TICKFORGE_TRUSTED_PROXIES=value)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service in an environment that gunicorn reads where nobody keeps it from that."""
    env = {"SCRIPT_NAME": "/train", "FORWARDED_ALLOW_IPS": "*", "WEB_CONCURRENCY": "7"}
    env["GUNICORN_CMD_ARGS"] = "--forwarded-allow-ips=* --threads=1"
    data = tmp_path_factory.mktemp("data")
    with running_store() as server, running_api(server.url, data, **env) as client:
        yield client


@pytest.mark.parametrize("header", ["SCRIPT_NAME: /v1", "PATH_INFO: /healthz", "X-A: 1"])
def test_no_header_of_gunicorns_changes_the_path(api: httpx.Client, header: str) -> None:
    url = api.base_url
    head = f"GET /v1/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
    with closing(socket.create_connection((url.host, url.port), timeout=30)) as peer:
        peer.sendall(f"{head}{header}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while piece := peer.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 200 ") and b'"service"' in received


def test_no_variable_of_gunicorns_changes_the_service(api: httpx.Client) -> None:
    home = api.get("/", headers={"X-Forwarded-Proto": "https", "Accept": "application/json"})

    assert home.json()["links"]["jobs"] == "/v1/jobs"
