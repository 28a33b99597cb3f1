"""The pages for people: open, whole without a network, and drawn as they should be."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import ENDPOINTS
from api.assets import ASSET_FILES, ASSET_PATHS, CONTENT_SECURITY_POLICY, STATIC_FOLDER
from tests.api_process import running_api
from tests.needs import find_chromium, require_program

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
    "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGES = ("/", "/docs")


@pytest.fixture
def anonymous(client: Any) -> Any:
    """A client without a key, as a browser."""
    client.environ_base.pop("HTTP_AUTHORIZATION")
    client.environ_base["HTTP_ACCEPT"] = BROWSER["Accept"]
    return client


def test_the_pages_and_their_files_are_open_and_bound_to_us(anonymous: Any) -> None:
    for path in (*PAGES, *ASSET_PATHS):
        response = anonymous.get(path)
        assert response.status_code == 200, path
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        again = anonymous.get(path, headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b""), path
    assert (
        "default-src 'none'" in CONTENT_SECURITY_POLICY
        and "unsafe" not in CONTENT_SECURITY_POLICY
        and "*" not in CONTENT_SECURITY_POLICY
    )


def test_media_types_are_those_of_the_files(anonymous: Any) -> None:
    kinds = {"/": "text/html", "/docs": "text/html", "/static/page.css": "text/css"}
    kinds |= {"/static/docs.js": "text/javascript", "/static/icon.svg": "image/svg+xml"}
    for path, kind in kinds.items():
        assert anonymous.get(path).mimetype == kind


def test_no_file_names_another_host_or_holds_a_script_of_its_own() -> None:
    files = sorted(STATIC_FOLDER.iterdir())
    assert {path.name for path in files} == {*ASSET_FILES, "home.html", "docs.html"}
    for file in files:
        text = file.read_text()
        hosts = set(re.findall(r"(?:https?:)?//([\w.-]+\.\w+)", text))
        assert hosts <= {"127.0.0.1", "www.w3.org"}, file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        if file.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
            loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
            assert loaded <= ASSET_PATHS, file.name


def test_every_module_that_is_imported_is_served() -> None:
    for file in STATIC_FOLDER.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', file.read_text()):
            assert name in ASSET_FILES, (file.name, name)


def test_the_first_page_is_html_for_browsers_and_json_for_others(anonymous: Any) -> None:
    page = anonymous.get("/")
    assert page.mimetype == "text/html" and page.headers["Vary"] == "Accept"
    for accept in ("application/json", "*/*", "", "text/html;q=0.5, application/json"):
        response = anonymous.get("/", headers={"Accept": accept})
        assert response.mimetype == "application/json", accept
    links = anonymous.get("/", headers={"Accept": "*/*"}).json["links"]
    for path in links.values():
        assert anonymous.get(path).status_code in (200, 401), path
        assert path in page.text, path


def test_the_pages_say_something_without_javascript(anonymous: Any) -> None:
    assert 'href="/openapi.json"' in anonymous.get("/docs").text.split("<noscript>")[1]
    assert "/v1/jobs" in anonymous.get("/").text


@pytest.fixture(scope="module")
def url(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_api(empty_store, tmp_path_factory.mktemp("pages")) as api:
        yield str(api.base_url).rstrip("/")


def drawn(url: str, folder: Path, *flags: str) -> str:
    """A page's DOM after its scripts have run; fails for what the browser complains of."""
    require_program("chromium")
    completed = subprocess.run(
        [find_chromium() or "", *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", url],
        capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    console_lines = [line for line in completed.stderr.splitlines() if "CONSOLE" in line]
    assert console_lines == [], console_lines
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_the_reference_draws_every_operation(url: str, tmp_path: Path) -> None:
    dom = drawn(f"{url}/docs#submit_job", tmp_path)
    for endpoint in ENDPOINTS:
        assert f'id="{endpoint.operation_id}"' in dom, endpoint.operation_id
    document = httpx.get(f"{url}/openapi.json").json()
    assert dom.count('class="operation"') == sum(map(len, document["paths"].values()))
    tags = [tag["name"] for tag in document["tags"]]
    assert re.findall(r'<h2 id="tag-(\w+)">', dom) == tags, "in the document's order"
    inside = dom.split('id="submit_job"')[1].split('class="operation"')[0]
    assert "Needs a key of scope <code>submit</code>" in inside
    for field in document["components"]["schemas"]["JobSpecRequest"]["properties"]:
        assert f"<code>{field}</code>" in inside, field
    for words in ("at most 200 characters", "1 to 65536", 'class="try"', "Send POST"):
        assert words in inside, words


def test_the_first_page_takes_the_key_out_of_a_sign_in_link(url: str, tmp_path: Path) -> None:
    dom = drawn(f"{url}/#key=secret-0123", tmp_path)
    assert re.search(r'id="signed-in"[^>]*>', dom)[0].count("hidden") == 0  # type: ignore[index]
    assert "secret-0123" not in dom
    assert ">ready<" in dom and f"curl -s {url}/v1/jobs" in dom
