"""Keys are spelled in jobs/store/keys.py and in two preludes in lua/ alone, and are equal there."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs.store import keys
from jobs.store.scripts import LUA_FOLDER

PRELUDES = ("prelude", "webhooks_prelude")
PRELUDE = "".join((LUA_FOLDER / f"{name}.lua").read_text() for name in PRELUDES)
SCRIPTS = sorted(path for path in LUA_FOLDER.glob("*.lua") if path.stem not in PRELUDES)
LUA_FUNCTIONS = dict(re.findall(r"function keys\.(\w+)\((\w+)", PRELUDE))  # first parameter
LUA_CONSTANTS = dict(re.findall(r"\b([A-Z_]+) = '([a-z]\S*)'", PRELUDE))


def arguments(name: str) -> list[Any]:
    parameters = inspect.signature(getattr(keys, name)).parameters
    return [
        7 if parameter in ("segment", "number") else f"<{parameter}>" for parameter in parameters
    ]


def python_key(name: str) -> str:
    return str(getattr(keys, name)(*arguments(name)))


def key_starts() -> set[str]:
    """What the keys of the store begin with, up to their first argument."""
    key_prefixes = {
        python_key(name).split("<")[0] for name in LUA_FUNCTIONS if name != "job_member"
    }
    return key_prefixes | {value for name, value in vars(keys).items() if name.isupper()}


def test_the_search_covers_every_key() -> None:
    assert {"job:{", "queued:", "leases:", "index:", "dataset:{", "jobs:ticks"} <= key_starts()
    assert all(len(start) > 3 for start in key_starts())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_spells_no_key(script: Path) -> None:
    code = re.sub(r"--[^\n]*", "", script.read_text())
    for literal in re.findall(r"'([^'\n]*)'", code):
        assert not literal.startswith(tuple(key_starts())), literal
        assert not re.match(r":[a-z0-9]+", literal), f"{literal} looks like the end of a key"


@pytest.mark.parametrize("name", LUA_FUNCTIONS)
def test_a_key_is_equal_in_lua_and_python(store: "redis.Redis", name: str) -> None:
    given = arguments(name)
    if LUA_FUNCTIONS[name] == "member":
        given = ["/".join(given[:2]), *given[2:]]
    lua_key: Any = store.eval(
        f"{PRELUDE} return keys.{name}(unpack(h.given))", 0, json.dumps({"given": given})
    )
    assert lua_key.decode() == python_key(name)


def test_the_named_keys_are_equal_in_lua_and_python() -> None:
    assert len(LUA_CONSTANTS) > 8
    assert {name: getattr(keys, name) for name in LUA_CONSTANTS} == LUA_CONSTANTS
