"""A script is sent with what it uses of its preludes, and with nothing else of them."""

import re

import pytest

from jobs.store.scripts import LUA_FOLDER, read_source
from jobs.store.used_definitions import used_definitions

SCRIPTS = sorted(path.stem for path in LUA_FOLDER.glob("*.lua") if "prelude" not in path.stem)
DEFINED = re.compile(r"(?m)^(?:local function |function |local )?(keys\.\w+|\w+)(?:\(| =)")
PRELUDE = """-- of all scripts
local LIMIT = 3
local keys = {
  JOBS = 'jobs',
}
function keys.job(id) return 'job:' .. id end
function keys.tick(id) return keys.job(id) .. ':tick' end

-- two lines
local function read_tick(id)
  return redis.call('GET', keys.tick(id))
end
if h.member then return { 'newer' } end
local function within(count) return count < LIMIT end
"""


def defined_names(text: str) -> set[str]:
    return set(DEFINED.findall(text)) - {"if"}


@pytest.mark.parametrize(
    "script, names",
    [
        ("return read_tick(1)", {"keys", "keys.job", "keys.tick", "read_tick"}),
        ("return within(2)", {"within", "LIMIT"}),
        ("return keys.JOBS", {"keys"}),
        ("return 1 -- within", set()),
    ],
)
def test_a_definition_is_kept_with_what_it_uses_itself(script: str, names: set[str]) -> None:
    prelude = used_definitions(PRELUDE, script)
    assert defined_names(prelude) == names
    assert "if h.member then return { 'newer' } end\n" in prelude
    assert prelude.count("\nend\n") == ("read_tick" in names)


def test_every_script_has_all_that_it_uses() -> None:
    defined = defined_names("".join(path.read_text() for path in LUA_FOLDER.glob("*prelude.lua")))
    for script in SCRIPTS:
        text = re.sub(r"--[^\n]*|'[^'\n]*'", "", read_source(script))
        used = defined & set(re.findall(r"keys\.\w+|(?<!\.)\b\w+", text))
        declared = re.findall(r"(?:\bfor|\blocal|\bfunction \w+\() ?([\w, ]+)", text)  # its own
        local_names = set(re.findall(r"\w+", " ".join(declared)))
        assert used <= defined_names(text) | local_names, script
