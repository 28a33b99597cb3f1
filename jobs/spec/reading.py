"""Read a JobSpec from a JSON body: check schema, datasets and rules, and fill in defaults.

All errors of a body are reported together, except that errors within the data, or of its dataset,
hide those of the rules between fields. Knows no store and no tensor.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from jobs.spec.base import MAX_TICKS, FieldError, InvalidSpec
from jobs.spec.data import Data, TargetKind
from jobs.spec.dataset_binding import DatasetBinding
from jobs.spec.dataset_checks import DatasetLookup, DatasetMismatch, bind_datasets, no_datasets
from jobs.spec.job_spec import (
    REVISION,
    JobSpec,
    JobSpecRequest,
    Objective,
    build_profile,
    count_held_out_rows,
)
from jobs.spec.pydantic_errors import to_field_errors
from jobs.spec.rules import check_rules

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
        errors = [*to_field_errors(error, body), *_find_data_errors(body)]
        other_errors = _check_valid_fields(body, errors, max_parameters, datasets)
        raise InvalidSpec([*errors, *other_errors]) from None
    if data_errors := _find_data_errors(body):
        raise InvalidSpec(data_errors)
    binding = bind_datasets(request.data, request.validation, request.objective, datasets)
    spec = _fill_defaults(request, binding)
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
        valid_fields = {name: body[name] for name in body if name not in invalid_fields}
        if "budget" in invalid_fields:  # any value will do: rules that read it are skipped
            valid_fields["budget"] = {"ticks": MAX_TICKS}
        request = JobSpecRequest.model_validate(valid_fields)
        binding = bind_datasets(request.data, request.validation, request.objective, datasets)
    except ValidationError:
        return []  # no rule applies without model, data or budget
    except DatasetMismatch as error:
        return [] if "objective" in invalid_fields else error.errors
    return check_rules(_fill_defaults(request, binding), max_parameters, invalid_fields)


def _find_data_errors(body: object) -> list[FieldError]:
    """Return the errors within the data; none if the data breaks the schema already."""
    try:
        data = DATA_ADAPTER.validate_python(body["data"])  # type: ignore[index]
    except (ValidationError, TypeError, LookupError):
        return []
    return list(data.find_errors())


def _fill_defaults(request: JobSpecRequest, binding: DatasetBinding | None) -> JobSpec:
    """Build the JobSpec, with every default that depends on other fields."""
    objective = request.objective or DEFAULT_OBJECTIVES[build_profile(request, None, binding).kind]
    rows = build_profile(request, objective, binding).rows
    training_rows = rows - count_held_out_rows(request.validation, rows)
    fields = {name: getattr(request, name) for name in JobSpecRequest.model_fields}
    fields |= {
        "facts": binding,
        "revision": REVISION,
        "name": request.name or request.model.family,
        "objective": objective,
        "batch_size": request.batch_size or max(1, min(DEFAULT_BATCH_SIZE, training_rows)),
        "record": request.record if "loss" in request.record else ["loss", *request.record],
    }
    spec = JobSpec(**fields)
    if spec.validation is None or spec.validation.every_ticks is not None:
        return spec
    every = max(100, -(-(spec.ticks_total or 0) // 100))
    validation = spec.validation.model_copy(update={"every_ticks": every})
    return spec.model_copy(update={"validation": validation})
