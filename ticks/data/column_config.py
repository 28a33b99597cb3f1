"""The entries of config.json about the columns of a table, by which model.py encodes records."""

from collections.abc import Sequence
from typing import Any

from jobs.datasets.formats.cells import CellParser
from jobs.spec.data import DatasetData
from jobs.spec.dataset_binding import DatasetBinding
from ticks.data.standardize import Floats


def describe_columns(
    binding: DatasetBinding, data: DatasetData, names: Sequence[str], fills: Floats | None
) -> dict[str, Any]:
    """Return the columns and the target by name, the names of the classes, and how cells are read.

    `names` are the features in order, none for arrays; `fills` [numbers] replace missing numbers.
    """
    info: dict[str, Any] = {}
    if names:
        numbers = [name for name in names if name not in binding.categories]
        fill_of = {} if fills is None else dict(zip(numbers, fills.tolist(), strict=True))
        info["columns"] = [_describe_column(binding, data, name, fill_of) for name in names]
        info["target"] = data.target
        info["cells"] = _describe_cells(binding)
    if binding.target is not None:
        info["classes"] = list(binding.target.names)
    return info


def _describe_column(
    binding: DatasetBinding, data: DatasetData, name: str, fill_of: dict[str, float]
) -> dict[str, Any]:
    classes = binding.categories.get(name)
    column: dict[str, Any]
    if classes is not None:
        column = {"name": name, "type": "category", "classes": list(classes.names)}
        if classes.numbers:
            column["by_value"] = True
        if data.unseen == "ignore":
            column["unseen"] = "ignore"
        return column
    column = {"name": name, "type": "datetime" if name in binding.time_names else "number"}
    if name in fill_of:
        column["fill"] = fill_of[name]
    if name in binding.gap_names:
        column["indicator"] = True
    return column


def _describe_cells(binding: DatasetBinding) -> dict[str, Any]:
    """Return how texts are read as numbers, and which of them mean a missing value."""
    options = binding.data.parse_options
    return {
        "decimal": options.decimal,
        "thousands": options.thousands,
        "missing": sorted(CellParser(options).missing_tokens),
    }
