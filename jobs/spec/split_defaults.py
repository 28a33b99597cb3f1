"""Fill in how the rows of a spec are split where it does not say so."""

from typing import TypeVar

from jobs.sampling.splits import Split
from jobs.spec.data import DatasetData, Profile
from jobs.spec.dataset_checks import DatasetLookup
from jobs.spec.held_out import HeldOut, count_share
from jobs.spec.job_spec import JobSpecRequest
from jobs.spec.split_checks import named_groups

Part = TypeVar("Part", bound=HeldOut)

#: sources whose classes are stratified by default; the examples and drawn rows keep their splits
STRATIFIED_SOURCES = ("dataset", "inline")


def resolve_splits(request: JobSpecRequest, profile: Profile) -> JobSpecRequest:
    """Fill in the splits of validation and test."""
    default = _default_split(request, profile)
    validation, test = request.validation, request.test
    changes = {
        "validation": _resolve(validation, test, default),
        "test": _resolve(test, validation, default),
    }
    return request.model_copy(update=changes)


def exclude_groups(request: JobSpecRequest, look_up: DatasetLookup) -> JobSpecRequest:
    """Leave the columns of groups out of the features, where `features` does not name columns."""
    data, groups = request.data, [group for _, group in named_groups(request)]
    if not groups or not isinstance(data, DatasetData) or data.features is not None:
        return request
    dataset = look_up(data.id)
    known = [group for group in groups if dataset and dataset.profile.column(group)]
    exclude = list(dict.fromkeys([*data.exclude, *known]))
    return request.model_copy(update={"data": data.model_copy(update={"exclude": exclude})})


def _resolve(part: Part | None, other: HeldOut | None, default: Split) -> Part | None:
    if part is None or part.fraction is None or part.split is not None:
        return part
    split, group = default, part.group
    if group is not None:
        split = "group"
    elif other is not None and (other.split or other.group):
        split, group = other.split or "group", other.group
    return part.model_copy(update={"split": split, "group": group})


def _default_split(request: JobSpecRequest, profile: Profile) -> Split:
    """Return `stratified` for classes, unless that leaves no row of some class to train on."""
    if profile.classes is None or request.data.source not in STRATIFIED_SOURCES:
        return "random"
    parts = (request.validation, request.test)
    fractions = [part.fraction for part in parts if part is not None and part.fraction]
    held_out = sum(count_share(fraction, profile.rows) for fraction in fractions)
    return "stratified" if held_out + profile.classes <= profile.rows else "random"
