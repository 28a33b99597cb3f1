"""The legend of a job's hash has the fields that scripts and codec use, and no others."""

import inspect
import re

from jobs.store import codec, job_fields
from jobs.store.scripts import LUA_FOLDER

CALL = re.compile(r"redis\.call\('(H\w+)', (?:job|keys\.job\([^()]*(?:\([^()]*\))?\)), ")
TEXT = re.compile(r"'([^']*)'")


def call_arguments(code: str, start: int) -> list[str]:
    """The arguments from `start` to the end of the call, split at its own commas."""
    depth, parts = 0, [""]
    for character in code[start:]:
        depth += (character in "({[") - (character in ")}]")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def script_fields() -> set[str]:
    fields = set()
    for script in LUA_FOLDER.glob("*.lua"):
        code = re.sub(r"--[^\n]*", "", script.read_text())
        for call in CALL.finditer(code):
            arguments = call_arguments(code, call.end())
            step = 2 if call[1] in ("HSET", "HSETNX", "HINCRBY") else 1
            fields |= {match[1] for text in arguments[::step] if (match := TEXT.fullmatch(text))}
    return fields


def codec_fields() -> set[str]:
    readers = (codec.parse_job, codec._span, codec._rate, codec._result, codec._file_bytes)
    code = "".join(map(inspect.getsource, readers))
    pairs = re.findall(r'(?:fields|fields\))\.\w+\("(\w+)"\)|record(?:\.get\(|\[)b"(\w+)"', code)
    return {first or second for first, second in pairs}


def test_the_legend_has_every_field_of_a_job() -> None:
    assert len(codec_fields()) > 30 and len(script_fields()) > 60
    listed = re.findall(r"^  (\w+): ", inspect.getdoc(job_fields) or "", re.MULTILINE)
    assert len(set(listed)) == len(listed)
    assert set(listed) == script_fields() | codec_fields()
