"""Which server the client talks to, and with which key."""

import json
from pathlib import Path

import pytest

from serving.admin_key import client_config_path, write_client_config
from tickforge_client import NotConfigured
from tickforge_client.config import Server, config_path, resolve_server

HOME = "http://127.0.0.1:8000"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    write_client_config(config_path(environ), HOME, "key-of-the-file")
    return environ


def test_the_client_reads_the_file_that_serve_py_writes(environ: dict[str, str]) -> None:
    assert config_path(environ) == client_config_path(environ)
    assert resolve_server(None, None, environ) == Server(HOME, "key-of-the-file")


def test_the_environment_wins_over_the_file_and_flags_over_both(environ: dict[str, str]) -> None:
    environ |= {"TICKFORGE_URL": "http://two:1", "TICKFORGE_KEY": "second"}
    assert resolve_server(None, None, environ) == Server("http://two:1", "second")
    assert resolve_server("https://three", "third", environ) == Server("https://three", "third")


def test_the_files_key_is_not_handed_to_another_server(environ: dict[str, str]) -> None:
    with pytest.raises(NotConfigured, match="no key for http://elsewhere"):
        resolve_server("http://elsewhere", None, environ)
    assert resolve_server(HOME + "/", None, environ).key == "key-of-the-file"


def test_a_client_without_any_key_explains_how_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="TICKFORGE_KEY"):
        resolve_server(None, None, {"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"url": 1}', "{"])
def test_an_invalid_config_file_is_named(environ: dict[str, str], text: str) -> None:
    config_path(environ).write_text(text)
    with pytest.raises(NotConfigured, match=r"config\.json"):
        resolve_server(None, None, environ)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://x", "http://", "http://x:port", "http://u:p@x", "x", "http://["],
)
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(NotConfigured, match="not a server's address"):
        resolve_server(url, "key", {})


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ключ"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        resolve_server(HOME, key, {})
    assert key not in str(caught.value)
    assert key not in repr(Server(HOME, key))


def test_the_written_file_is_the_documented_one(environ: dict[str, str]) -> None:
    document = json.loads(config_path(environ).read_text())
    assert document == {"url": HOME, "key": "key-of-the-file"}
