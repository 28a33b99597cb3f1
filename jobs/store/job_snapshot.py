"""All that the store has of a job beside its history, at one moment. Sends no command.

`read_snapshot` of lua/prelude.lua takes it; a rebuild writes it back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HashFields = Mapping[str, bytes]
Reply = Sequence[Any]


@dataclass(frozen=True)
class JobSnapshot:
    """A job's record and what belongs to it. `version` grows with each snapshot taken."""

    fields: HashFields
    hashes: Mapping[str, HashFields]  # by the last part of their keys: checkpoints, digests, …
    deleted_checkpoints: Sequence[bytes]
    audit: Sequence[bytes]
    attempts: Sequence[HashFields]
    events: Sequence[bytes]

    @property
    def version(self) -> int:
        """How many snapshots of this job were taken, this one included."""
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
    def segments_in_files(self) -> int:
        """How many segments of its history are files."""
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
HASH_NAMES = ("checkpoints", "digests", "answers", "known")


def parse_snapshot(reply: Reply) -> JobSnapshot:
    """Parse the reply of `read_snapshot` of lua/prelude.lua."""
    record, *hashes, deleted_checkpoints, audit, attempt_records, events = reply
    fields, attempts = _pairs_to_dict(record), list(map(_pairs_to_dict, attempt_records))
    by_name = dict(zip(HASH_NAMES, map(_pairs_to_dict, hashes), strict=True))
    return JobSnapshot(fields, by_name, deleted_checkpoints, audit, attempts, events)


def _pairs_to_dict(pairs: Sequence[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
