"""Read a JobSpec from a JSON body: check schema, datasets and rules, and fill in defaults.

All errors of a body are reported together, except that errors within the data, or of its dataset,
hide those of the rules between fields. Knows no store and no tensor.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from jobs.spec.base import MAX_TICKS, FieldError, InvalidSpec
from jobs.spec.data import REVISION, Data, DatasetData, TargetKind
from jobs.spec.dataset_binding import DatasetBinding
from jobs.spec.dataset_checks import DatasetLookup, DatasetMismatch, bind_datasets, no_datasets
from jobs.spec.job_spec import (
    JobSpec,
    JobSpecRequest,
    Objective,
    build_profile,
)
from jobs.spec.metric_rules import fill_best_rule
from jobs.spec.pydantic_errors import to_field_errors
from jobs.spec.rules import check_rules
from jobs.spec.split_checks import find_group_errors
from jobs.spec.split_defaults import exclude_groups, resolve_splits

DEFAULT_BATCH_SIZE = 32
#: kind of target -> objective of a spec that names none
DEFAULT_OBJECTIVES: dict[TargetKind, Objective] = {
    "class": "cross_entropy",
    "number": "mse",
    "token": "language_model",
}
DATA_ADAPTER: TypeAdapter[Any] = TypeAdapter(Data)


def read_spec(
    body: object, *, max_parameters: int, datasets: DatasetLookup = no_datasets
) -> JobSpec:
    """Check a parsed JSON body and fill in its defaults. Raises InvalidSpec with all errors.

    `datasets` looks up an uploaded dataset by its id.
    """
    try:
        request = JobSpecRequest.model_validate(body)
    except ValidationError as error:
        body_errors = to_field_errors(error, body)
        errors = [*body_errors.errors, *_find_data_errors(body)]
        other_errors = _check_valid_fields(body, errors, max_parameters, datasets)
        raise InvalidSpec([*errors, *other_errors], body_errors.left_out) from None
    if data_errors := list(request.data.find_errors()):
        raise InvalidSpec(data_errors)
    request, binding = _bind(request, datasets)
    spec = _fill_defaults(request, binding, datasets)
    if errors := check_rules(spec, max_parameters):
        raise InvalidSpec(errors)
    return spec


def _check_valid_fields(
    body: object, errors: list[FieldError], max_parameters: int, datasets: DatasetLookup
) -> list[FieldError]:
    """Return the errors between those fields of an invalid body that are valid alone."""
    invalid_fields = {error.pointer.split("/")[1] for error in errors if error.pointer}
    if not isinstance(body, dict):
        return []
    try:
        names = JobSpecRequest.model_fields.keys() - invalid_fields
        valid_fields = {name: body[name] for name in names if name in body}
        if "budget" in invalid_fields:  # any value will do: rules that read it are skipped
            valid_fields["budget"] = {"ticks": MAX_TICKS}
        request, binding = _bind(JobSpecRequest.model_validate(valid_fields), datasets)
    except ValidationError:
        return []  # no rule applies without model, data or budget
    except DatasetMismatch as error:
        return [] if "objective" in invalid_fields else error.errors
    spec = _fill_defaults(request, binding, datasets)
    return check_rules(spec, max_parameters, invalid_fields)


def _bind(
    request: JobSpecRequest, datasets: DatasetLookup
) -> tuple[JobSpecRequest, DatasetBinding | None]:
    """Bind the datasets of a request whose columns of groups are no features.

    Returns the request with these columns excluded. Raises DatasetMismatch.
    """
    errors = find_group_errors(request, datasets)
    request = exclude_groups(request, datasets)
    held_out = {"validation": request.validation, "test": request.test}
    try:
        binding = bind_datasets(request.data, held_out, request.objective, datasets)
    except DatasetMismatch as error:
        raise DatasetMismatch([*error.errors, *errors]) from None
    if errors:
        raise DatasetMismatch(errors)
    return request, binding


def _find_data_errors(body: object) -> list[FieldError]:
    """Return the errors within the data; none if the data breaks the schema already."""
    try:
        data = DATA_ADAPTER.validate_python(body["data"])  # type: ignore[index]
    except (ValidationError, TypeError, LookupError):
        return []
    return list(data.find_errors())


def _fill_defaults(
    request: JobSpecRequest, binding: DatasetBinding | None, datasets: DatasetLookup
) -> JobSpec:
    """Build the JobSpec, with every default that depends on other fields."""
    objective = request.objective or DEFAULT_OBJECTIVES[build_profile(request, None, binding).kind]
    request = resolve_splits(request, build_profile(request, objective, binding))
    fields = {name: getattr(request, name) for name in JobSpecRequest.model_fields}
    fields |= {
        "facts": binding,
        "revision": REVISION,
        "name": request.name or request.model.family,
        "objective": objective,
        "batch_size": request.batch_size or DEFAULT_BATCH_SIZE,
        "record": request.record if "loss" in request.record else ["loss", *request.record],
    }
    fields["facts"] = _count_groups(JobSpec(**fields), datasets)
    if request.batch_size is None:
        training_rows = JobSpec(**fields).training_rows
        fields["batch_size"] = max(1, min(DEFAULT_BATCH_SIZE, training_rows))
    if isinstance(request.data, DatasetData) and request.data.standardize_target is None:
        is_number = objective == "mse" and build_profile(request, None, binding).kind == "number"
        fields["data"] = request.data.model_copy(update={"standardize_target": is_number})
    spec = fill_best_rule(JobSpec(**fields))
    if spec.validation is None or spec.validation.every_ticks is not None:
        return spec
    every = default_validation_period(spec.ticks_total)
    validation = spec.validation.model_copy(update={"every_ticks": every})
    return spec.model_copy(update={"validation": validation})


def default_validation_period(ticks_total: int | None) -> int:
    """Return the ticks between two validations where the spec names none."""
    return max(100, -(-(ticks_total or 0) // 100))


def _count_groups(spec: JobSpec, datasets: DatasetLookup) -> DatasetBinding | None:
    """Return the binding with the numbers of rows that splits by groups hold out.

    They depend on the sizes of the groups, so the dataset's file is read.
    """
    parts = {"held_out_rows": spec.validation, "test_rows": spec.test}
    grouped = [name for name, part in parts.items() if part is not None and part.split == "group"]
    if not grouped or spec.facts is None or not isinstance(spec.data, DatasetData):
        return spec.facts
    dataset = datasets(spec.data.id)
    assert dataset is not None and dataset.split_rows is not None, "it was found a moment ago"
    split = dataset.split_rows(spec)
    counts = {"held_out_rows": int(split.held_out.sum()), "test_rows": int(split.test.sum())}
    return spec.facts.model_copy(update={name: counts[name] for name in grouped})
