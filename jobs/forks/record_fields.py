"""The fields of a fork's record that continue its parent's. Knows no store and no file."""

import json
from collections.abc import Sequence
from typing import Any

from jobs.files.shared_code import CODE_FILE
from jobs.forks.first_state import FirstState
from jobs.forks.history_copy import CopiedHistory
from jobs.job import Ancestor, Checkpoint, Job
from jobs.spec.engines import unsupported_reason
from jobs.spec.job_spec import JobSpec

#: parts of `compute` that decide the bits of a tick
BIT_FIELDS = {"device", "engine", "threads", "precision"}


def line_fields(
    parent: Job,
    spec: JobSpec,
    tick: int,
    elapsed: float,
    first_state: FirstState,
    copies: Sequence[Checkpoint],
    history: CopiedHistory,
) -> dict[str, str]:
    """Return the fields of the record of a fork after `tick`, by name, as text."""
    code = {file.sha256: file.bytes for copy in copies if copy.shared_bytes
            for file in copy.files if file.name == CODE_FILE}  # fmt: skip
    fields = {
        "elapsed": repr(elapsed),
        "metrics": json.dumps(first_state.metrics),
        "segments": str(history.segments),
        "history_bytes": str(history.size),
        "sparse": "".join(f" {name} " for name in history.sparse),
        "checkpoint_bytes": str(sum(copy.own_bytes for copy in copies)),
        "code": "".join(f"{sha256} " for sha256 in code),
        "code_bytes": str(sum(code.values())),
        "lineage": json.dumps([entry.model_dump() for entry in _find_ancestors(parent, tick)]),
        **_exactness_fields(parent, tick),
    }
    if history.columns:
        fields["columns"] = json.dumps(history.columns)
    if first_state.best is not None:
        fields["best"] = json.dumps(first_state.best)
    if continues_bits(parent, spec, tick):
        fields |= {"engine": parent.engine or "", "device": parent.device or ""}
    return fields


def _find_ancestors(parent: Job, tick: int) -> list[Ancestor]:
    """List the jobs that made the ticks up to `tick`, the first one first."""
    if tick < parent.first_tick:  # at the state that the parent itself began with
        return list(parent.lineage)
    spec = parent.spec
    entry = Ancestor(
        job_id=parent.id,
        last_tick=tick,
        lr=spec.optimizer.lr,
        schedule=spec.schedule.model_dump(),
        ticks_total=spec.ticks_total,
    )
    return [*parent.lineage, entry]


def continues_bits(parent: Job, spec: JobSpec, tick: int) -> bool:
    """Return whether the fork's ticks belong to the fingerprint of the parent's.

    Not where it asks for other kernels, where the parent has changed to another machine after the
    tick, or where the parent's engine cannot train the new spec.
    """
    before = parent.spec.compute.model_dump(include=BIT_FIELDS)
    if not parent.engine or before != spec.compute.model_dump(include=BIT_FIELDS):
        return False
    return parent.inexact_upto <= tick and unsupported_reason(spec, parent.engine) is None


def _exactness_fields(parent: Job, tick: int) -> dict[str, str]:
    """Return what is known of other fingerprints among the ticks up to `tick`."""
    first = parent.inexact_from
    if parent.exact or first is None or first > tick:
        return {}
    fields: dict[str, Any] = {"inexact_from": first, "inexact_upto": min(parent.inexact_upto, tick)}
    return {"exact": "0", **{name: str(value) for name, value in fields.items()}}
