"""Read a spec as it was stored, by this build or an earlier one: it means what it meant then."""

import json
from typing import Any

from jobs.spec.data import FIRST_REVISION
from jobs.spec.job_spec import JobSpec


def read_stored_spec(fields: dict[str, Any]) -> JobSpec:
    """Read the fields of `JobSpec.to_stored`, of any build."""
    fields = {
        **fields,
        "optimizer": {"decay": "all", **fields["optimizer"]},
        "stop": {"max_skips": None, **fields["stop"]},
    }
    if fields.get("revision", FIRST_REVISION) == FIRST_REVISION:
        fields = _with_first_defaults(fields)
    return JobSpec.model_validate(fields)


def parse_stored_spec(text: str | bytes) -> JobSpec:
    """Read a stored spec from its JSON."""
    return read_stored_spec(json.loads(text))


def _with_first_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """Add what a record of the first revision lacks where today's default is another."""
    data = fields["data"]
    if data["source"] == "dataset":
        data = {"standardize_target": False, **data}
    return {**fields, "data": data, "validation": _with_random_split(fields.get("validation"))}


def _with_random_split(validation: dict[str, Any] | None) -> dict[str, Any] | None:
    """Add the only split that the first revision had to a fraction."""
    if validation is None or validation.get("fraction") is None:
        return validation
    return {"split": "random", **validation}
