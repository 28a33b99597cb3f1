"""The spec of a job that goes on from a checkpoint of another: its parent's, with a merge patch.

What decides the meaning of the recorded state stays: the net and its sizes, the data with their
columns, scaling and held-out rows, the kind of the optimizer, and the columns of the history. The
parent's revision and the facts of its datasets stay too, so that an old spec means what it meant.
Knows no store and no tensor.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from jobs.spec.base import MAX_SEED, FieldError, InvalidSpec, pointer_step
from jobs.spec.job_spec import JobSpec
from jobs.spec.metric_rules import fill_best_rule
from jobs.spec.pydantic_errors import to_field_errors
from jobs.spec.reading import DEFAULT_BATCH_SIZE, default_validation_period
from jobs.spec.rules import check_rules

#: fields that a fork may change, with all below them
PATCHABLE_FIELDS = (
    "/name", "/labels", "/notes", "/priority", "/notify", "/optimizer", "/schedule", "/budget",
    "/stop", "/batch_size", "/micro_batches", "/clip_norm", "/checkpoint", "/compute", "/seed",
    "/model/dropout", "/validation/every_ticks", "/notify_when",
)  # fmt: skip
#: why any other field stays, by its first part
REASONS = {
    "model": "the weights are those of this net; only dropout may change",
    "data": "the state belongs to these data: their columns, their scaling and their order",
    "objective": "the net was trained on this objective",
    "class_weights": "the net was trained on this loss, and the best validation is one of it",
    "label_smoothing": "the net was trained on this loss, and the best validation is one of it",
    "validation": "rows that were trained on would be held out, or the reverse; only every_ticks "
    "may change",
    "test": "rows that were trained on would be held out, or the reverse",
    "record": "the history of the line has these columns",
    "init": "the state at the tick has the weights",
}


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396): null removes a member, objects are merged."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    return merged


def patch_spec(
    parent: JobSpec, patch: Mapping[str, Any], tick: int, elapsed: float, max_parameters: int
) -> JobSpec:
    """Return the spec of a job that goes on after `tick`, which took `elapsed` seconds.

    Raises InvalidSpec, with pointers into the spec.
    """
    stored = parent.to_stored()
    shown = parent.model_dump(mode="json")
    merged = apply_merge_patch(shown, dict(patch))
    if errors := [*_find_fixed(shown, merged), *_find_optimizer_errors(shown, merged)]:
        raise InvalidSpec(errors)
    hidden = {name: value for name, value in stored.items() if name not in shown}
    # it begins with the state at the tick, which has the weights
    spec = _read(parent, {**merged, **hidden, "init": None, "weights": None}, merged)
    errors = [*_find_net_errors(parent, spec)]
    errors += [*_find_line_errors(parent, spec, patch, tick, elapsed)]
    inherited = check_rules(parent, max_parameters)  # rules may be stricter than in its time
    errors += [error for error in check_rules(spec, max_parameters) if error not in inherited]
    if errors:
        raise InvalidSpec(errors)
    return spec


def _read(parent: JobSpec, fields: dict[str, Any], shown: dict[str, Any]) -> JobSpec:
    """Read the merged fields; one that was removed has the default of a new spec."""
    fields = {"name": parent.model.family, **fields}
    fields.setdefault("batch_size", max(1, min(DEFAULT_BATCH_SIZE, parent.training_rows)))
    try:
        spec = JobSpec.model_validate(fields)
    except ValidationError as error:
        body_errors = to_field_errors(error, shown)
        raise InvalidSpec(body_errors.errors, body_errors.left_out) from None
    spec = fill_best_rule(spec)
    if spec.validation is None or spec.validation.every_ticks is not None:
        return spec
    every = default_validation_period(spec.ticks_total)
    validation = spec.validation.model_copy(update={"every_ticks": every})
    return spec.model_copy(update={"validation": validation})


def _find_fixed(before: Any, after: Any, pointer: str = "") -> Iterator[FieldError]:
    """Yield an error for every difference that a fork may not make."""
    if before == after or pointer in PATCHABLE_FIELDS:
        return
    if isinstance(before, dict) and isinstance(after, dict) and _may_differ_below(pointer):
        for name in dict.fromkeys([*before, *after]):
            inner = f"{pointer}/{pointer_step(name)}"
            yield from _find_fixed(before.get(name), after.get(name), inner)
        return
    field = pointer.split("/")[1] if pointer else ""
    if field and field not in REASONS:
        yield FieldError(pointer, "unknown field", after)
        return
    yield FieldError(pointer, f"stays as it is in a fork: {REASONS.get(field, 'see /spec')}", after)


def _may_differ_below(pointer: str) -> bool:
    """Return whether differences below are told one by one: objects of fixed fields."""
    return pointer.count("/") < 2


def _find_optimizer_errors(before: Any, after: Any) -> Iterator[FieldError]:
    """Yield the errors of an optimizer that the recorded state does not fit."""
    old, new = before["optimizer"], after.get("optimizer")
    if not isinstance(new, dict):
        new = {"name": "adamw"} if new is None else {}
    name = new.get("name", "adamw")
    if name != old["name"]:
        rule = f"{old['name']}, whose state goes on; `init` takes the weights alone, with any other"
        yield FieldError("/optimizer/name", rule, name)
        return
    has_velocity, keeps = bool(old.get("momentum")), bool(new.get("momentum", 0.0))
    if name == "sgd" and has_velocity != keeps:
        rule = "above 0: the state has a velocity" if has_velocity else "0: the state has none"
        yield FieldError("/optimizer/momentum", rule, new.get("momentum", 0.0))


def _find_net_errors(parent: JobSpec, spec: JobSpec) -> Iterator[FieldError]:
    """Yield the error of a dropout that changes the names of the weights."""
    sizes = parent.profile.features, parent.profile.outputs
    if parent.model.weight_shapes(*sizes) != spec.model.weight_shapes(*sizes):
        rule = "0 stays 0, and above 0 it stays so: the layers of this net are counted with it"
        yield FieldError("/model/dropout", rule, spec.model.dropout)


def _find_line_errors(
    parent: JobSpec, spec: JobSpec, patch: Mapping[str, Any], tick: int, elapsed: float
) -> Iterator[FieldError]:
    """Yield the errors between the new spec and the ticks that there are."""
    total = spec.ticks_total
    if total is not None and total <= tick:
        rule = f"more than the {tick} ticks that there are; it counts from tick 0 of the line"
        yield FieldError("/budget", f"{rule}, and ends at tick {total}", spec.budget.model_dump())
    if spec.budget.seconds is not None and spec.budget.seconds <= elapsed:
        rule = f"more than the {elapsed:.3f} s that the ticks up to {tick} took"
        yield FieldError("/budget/seconds", rule, spec.budget.seconds)
    depends_on_total = spec.schedule.name != "constant"
    if depends_on_total and total != parent.ticks_total and "schedule" not in patch:
        rule = (
            f"named by the patch of a fork, since {spec.schedule.name} depends on the total of "
            f"ticks, which changes from {parent.ticks_total} to {total}"
        )
        yield FieldError("/schedule", rule, spec.schedule.model_dump())
    if spec.seed != parent.seed:
        yield from _find_seed_errors(spec)


def _find_seed_errors(spec: JobSpec) -> Iterator[FieldError]:
    if spec.seed > MAX_SEED:
        yield FieldError("/seed", f"at most {MAX_SEED}", spec.seed)
    if spec.held_out_rows or spec.test_rows:
        rule = "stays as it is in a fork: it decides which rows are held out"
        yield FieldError("/seed", rule, spec.seed)
