"""Whether a net can be asked about an uploaded dataset. Reads profiles and config.json, no data."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.answers.requests import InvalidRequest
from jobs.spec.base import FieldError
from jobs.spec.data import DatasetData
from jobs.spec.dataset_checks import UNKNOWN_DATASET_RULE, KnownDataset
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import DatasetProfile
from jobs.spec.second_dataset import find_column_differences

DATASET_POINTER = "/dataset"


def check_dataset(
    dataset: KnownDataset | None,
    dataset_id: str,
    spec: JobSpec,
    config: Mapping[str, Any],
    *,
    has_targets: bool,
) -> KnownDataset:
    """Return the dataset. Raises InvalidRequest where it does not fit the net of this config.json.

    `has_targets`: the net is to be evaluated, so that the targets must fit too.
    """
    if dataset is None:
        raise InvalidRequest([FieldError(DATASET_POINTER, UNKNOWN_DATASET_RULE, dataset_id)])
    rules = list(_find_faults(dataset.profile, spec, config, has_targets))
    if rules:
        raise InvalidRequest([FieldError(DATASET_POINTER, rule, dataset_id) for rule in rules])
    return dataset


def check_result_size(size: int, max_bytes: int, dataset_id: str, rows: int) -> None:
    """Raise InvalidRequest where the predictions of a dataset can take more than `max_bytes`."""
    if size > max_bytes:
        rule = (
            f"a dataset of at most {max_bytes * rows // size:,} rows, whose predictions take at "
            f"most {max_bytes:,} bytes (TICKFORGE_MAX_RESULT_BYTES): those of its {rows:,} rows "
            f"can take {size:,}"
        )
        raise InvalidRequest([FieldError(DATASET_POINTER, rule, dataset_id)])


def _find_faults(
    profile: DatasetProfile, spec: JobSpec, config: Mapping[str, Any], has_targets: bool
) -> Iterator[str]:
    is_text = config["objective"] == "language_model"
    if is_text and not has_targets:
        yield "none: this net continues a text (prompt)"
    elif is_text != (profile.text is not None):
        yield "a text, as this net reads" if is_text else "a table or arrays, not a text"
    elif "columns" in config:
        yield from _find_column_faults(profile, spec, config, has_targets)
    elif not is_text:
        yield from _find_array_faults(profile, config, has_targets)


def _find_column_faults(
    profile: DatasetProfile, spec: JobSpec, config: Mapping[str, Any], has_targets: bool
) -> Iterator[str]:
    names = [column["name"] for column in config["columns"]]
    names += [config["target"]] if has_targets else []
    if profile.columns is None:
        yield "a table with named columns, as the one to train on"
        return
    others = {column.name: column for column in profile.columns}
    for name in names:
        if name not in others:
            yield f"a dataset with the column {name!r}, which it lacks"
        elif has_targets and isinstance(spec.data, DatasetData) and spec.facts is not None:
            yield from find_column_differences(
                spec.data, spec.facts, others[name], are_gaps_unseen=spec.data.unseen == "ignore"
            )


def _find_array_faults(
    profile: DatasetProfile, config: Mapping[str, Any], has_targets: bool
) -> Iterator[str]:
    if profile.inputs is None:
        yield "an NPZ file of arrays: the net was not trained on named columns"
        return
    width = config["inputs"]
    if profile.inputs.shape[1:] != [width]:
        yield f"inputs of {width} numbers a row, not of shape {profile.inputs.shape}"
    if has_targets and config["objective"] != "cross_entropy" and profile.targets is not None:
        outputs = profile.targets.shape[1:] or [1]
        if outputs != [config["outputs"]]:
            yield f"targets of {config['outputs']} numbers a row, not of {outputs}"
