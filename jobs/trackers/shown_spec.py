"""A spec as trackers show it: without rows, and without whom it calls. Knows no format."""

from typing import Any

from jobs.spec.job_spec import JobSpec

Scalar = str | float | bool
INLINE_ROWS = ("inputs", "targets")
#: addresses may have secrets in them, and trackers send what they have to their servers
PRIVATE = {"notify", "notify_when"}
#: what says what a job is, and not how it trains
DESCRIPTION = ("name", "labels", "notes", "priority")


def shown_spec(spec: JobSpec) -> dict[str, Any]:
    """Return the spec as JSON; of inline rows their number, and nothing private."""
    shown = spec.model_dump(mode="json", exclude=PRIVATE)
    data = shown["data"]
    if data["source"] == "inline":
        shown["data"] = {**data, **{name: f"{len(data[name])} rows" for name in INLINE_ROWS}}
    return shown


def flat_parameters(spec: JobSpec) -> dict[str, Scalar]:
    """Return what a table of jobs has as columns: names such as `optimizer.lr`, single values."""
    shown = {name: part for name, part in shown_spec(spec).items() if name not in DESCRIPTION}
    return dict(_flatten("", shown))


def _flatten(prefix: str, part: Any) -> list[tuple[str, Scalar]]:
    if isinstance(part, dict):
        entries = [_flatten(f"{prefix}.{name}" if prefix else name, part[name]) for name in part]
        return [entry for nested in entries for entry in nested]
    if part is None or isinstance(part, list) and len(part) > 20:
        return []
    if isinstance(part, list):
        return [(prefix, " ".join(map(str, part)))]
    return [(prefix, part)]
