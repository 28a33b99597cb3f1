"""All that the store has of a job beside its history, at one moment. Values only; sends no command.

`lua/prelude.lua` (snapshot) takes it; a rebuild writes the same back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Flat = Mapping[str, bytes]
Reply = Sequence[Any]


@dataclass(frozen=True)
class Snapshot:
    """A job's record and what belongs to it. `version` grows with each that is taken."""

    fields: Flat
    hashes: Mapping[str, Flat]  # by the last part of their keys: checkpoints, digests, …
    removed: Sequence[bytes]
    audit: Sequence[bytes]
    attempts: Sequence[Flat]
    events: Sequence[bytes]

    @property
    def version(self) -> int:
        """How many were taken of this job, with this one."""
        return int(self.fields["archived"])

    @property
    def status(self) -> str:
        """The job's status."""
        return self.fields["status"].decode()

    @property
    def tick(self) -> int:
        """The accepted tick."""
        return int(self.fields["tick"])

    @property
    def moved(self) -> int:
        """How many segments of its history lie in files of their own."""
        return int(self.fields["segments"])

    @property
    def columns(self) -> list[str]:
        """Its dense columns."""
        return list(json.loads(self.fields.get("columns", b"[]")))

    @property
    def sparse(self) -> list[str]:
        """Its sparse columns."""
        return list(dict.fromkeys(self.fields.get("sparse", b"").decode().split()))


#: hashes of a job that a snapshot holds, by the last part of their keys
HASHES = ("checkpoints", "digests", "answers", "known")


def read_snapshot(reply: Reply) -> Snapshot:
    """Read what `snapshot` of lua/prelude.lua answers."""
    fields, *rest = reply
    hashes, (removed, audit, attempts, events) = rest[: len(HASHES)], rest[len(HASHES) :]
    return Snapshot(
        fields=_flat(fields),
        hashes={name: _flat(told) for name, told in zip(HASHES, hashes, strict=True)},
        removed=removed,
        audit=audit,
        attempts=[_flat(each) for each in attempts],
        events=events,
    )


def _flat(told: Sequence[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(told[::2], told[1::2], strict=True)}
