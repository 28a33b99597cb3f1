"""The Lua scripts of lua/, called by name. Knows no job.

Each script is sent with what it uses of the prelude before it, and one of answers, webhooks or held
checkpoints with theirs; a first line `#!lua flags=…` stays first. ARGV[1] is a JSON header; fields
that are None are left out, since cjson's null is true in Lua.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import OutOfMemoryError, ResponseError

from jobs import fault_points
from jobs.errors import (
    CheckpointMoved,
    CheckpointsHeld,
    IdempotencyMismatch,
    IdempotentResultDeleted,
    QuotaExceeded,
    StoreFull,
    UnsupportedSchema,
)
from jobs.store.used_definitions import used_definitions

LUA_FOLDER = Path(__file__).parent / "lua"
#: by what a script's name begins with: what it shares with others of its kind
MORE_PRELUDES = {
    "answer_": "answers_prelude",
    "webhook_": "webhooks_prelude",
    **dict.fromkeys(
        ("answer_submit", "submit", "read_checkpoints", "commit_checkpoint", "delete_checkpoint"),
        "holds_prelude",
    ),
}


class Scripts:
    """The scripts on one store, sent by EVALSHA, or whole to a server that does not have them."""

    def __init__(self, store: "redis.Redis") -> None:
        self._store = store
        self._registered: dict[str, Any] = {}

    def call(self, name: str, header: dict[str, Any], *byte_arguments: bytes | str) -> list[bytes]:
        """Run one script; return its reply.

        Raises StoreFull where the server can store nothing more, UnsupportedSchema where a newer
        version of this service wrote the job's record.
        """
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._store.register_script(read_source(name))
        fields = {key: value for key, value in header.items() if value is not None}
        fault_points.hit(f"store:{name}:before")
        try:
            reply: list[bytes] = script(args=[json.dumps(fields), *byte_arguments])
        except OutOfMemoryError as error:
            raise StoreFull("the store has no memory left") from error
        except ResponseError as error:
            if str(error).startswith("MISCONF"):
                raise StoreFull("the store cannot write to its disk") from error
            raise
        fault_points.hit(f"store:{name}:after")
        if reply and reply[0] == b"newer":
            raise UnsupportedSchema(reply[1].decode())
        return reply


def check_idempotency(answer: bytes, idempotency_key: str | None) -> None:
    """Raise the error of a key that was used with another body, or whose result was deleted."""
    if answer == b"mismatch":
        raise IdempotencyMismatch(idempotency_key)
    if answer == b"gone":
        raise IdempotentResultDeleted(idempotency_key)


def check_quota(answer: bytes, rest: Sequence[bytes]) -> None:
    """Raise QuotaExceeded if that was the answer of a script."""
    if answer == b"quota":
        name, *numbers = rest
        raise QuotaExceeded(name.decode(), *map(int, numbers))


def check_hold(answer: bytes, rest: Sequence[bytes]) -> None:
    """Raise CheckpointMoved or CheckpointsHeld if a script could not hold a checkpoint."""
    if answer == b"moved":
        raise CheckpointMoved("the checkpoint was removed meanwhile")
    if answer == b"held":
        raise CheckpointsHeld(int(rest[0]))


@cache
def read_source(name: str) -> str:
    """Return the text of a script: its flags, what it uses of its preludes, its body."""
    text = (LUA_FOLDER / f"{name}.lua").read_text()
    flags = ""
    if text.startswith("#!"):
        flags, text = text.split("\n", 1)
        flags += "\n"
    preludes = ["prelude"]
    preludes += [part for start, part in MORE_PRELUDES.items() if name.startswith(start)]
    prelude = "".join((LUA_FOLDER / f"{part}.lua").read_text() for part in preludes)
    return flags + used_definitions(prelude, text) + text
