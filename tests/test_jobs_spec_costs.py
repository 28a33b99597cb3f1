"""The check of a spec on wide datasets takes no longer than reading their profiles does."""

from functools import partial
from typing import Any

import pytest

from jobs.spec.base import InvalidSpec
from jobs.spec.dataset_binding import DataFile
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import Column, DatasetProfile
from jobs.spec.reading import read_spec
from jobs.spec.spec_warnings import find_warnings
from tests.costs import MAX_RATIO, frozen_heap, growth
from tests.support import small_spec

COLUMNS = 2500
ID, OTHER_ID = "ds_" + "a" * 26, "ds_" + "b" * 26
FILE = DataFile(path="p", sha256="0" * 64, bytes=1, type="text/csv", rows=100)


def wide(count: int, **fields: Any) -> KnownDataset:
    """Return a dataset of 100 rows and so many columns."""
    columns = [Column(name=f"c{at}", type="number", **fields) for at in range(count)]
    return KnownDataset(FILE, DatasetProfile(rows=100, columns=columns, gaps=[]))


def names(count: int, prefix: str = "c") -> list[str]:
    return [f"{prefix}{at}" for at in range(1, count)]


#: what a spec says of the columns, by their number
USES: dict[str, Any] = {
    "all": lambda count: {},
    "features": lambda count: {"features": names(count)},
    "exclude": lambda count: {"exclude": names(count // 2)},
    "types": lambda count: {"types": dict.fromkeys(names(count), "number")},
    "times": lambda count: {"types": dict.fromkeys(names(count), "datetime")},
    "unknown features": lambda count: {"features": names(count, "x")},
    "the same feature": lambda count: {"features": ["c1"] * count},
    "unknown types": lambda count: {"types": dict.fromkeys(names(count, "x"), "number")},
}


def read(body: dict[str, Any], dataset: KnownDataset) -> JobSpec | None:
    try:
        return read_spec(body, max_parameters=10**9, datasets=lambda _: dataset)
    except InvalidSpec:
        return None


@pytest.mark.parametrize("other", [{"id": OTHER_ID}, {"fraction": 0.1}], ids=str)
def test_twice_the_columns_take_at_most_three_times_as_long(other: dict[str, Any]) -> None:
    ratios = {}
    datasets = [wide(count, missing=1, non_times=0) for count in (COLUMNS, 2 * COLUMNS)]
    with frozen_heap():
        for name, use in USES.items():
            once, twice = (
                partial(read, spec_of(use(count), other), dataset)
                for count, dataset in zip((COLUMNS, 2 * COLUMNS), datasets, strict=True)
            )
            ratios[name] = growth(once, twice)
    assert {name: ratio for name, ratio in ratios.items() if ratio > MAX_RATIO} == {}


def spec_of(use: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    data = {"source": "dataset", "id": ID, "target": "c0", "missing": "drop", **use}
    return small_spec(data=data, validation=other)


def test_a_spec_names_no_more_columns_than_a_dataset_may_have() -> None:
    for field, value in (
        ("features", names(10_003)),
        ("exclude", ["c1"] * 10_001),
        ("types", dict.fromkeys(names(10_003), "number")),
    ):
        with pytest.raises(InvalidSpec) as caught:
            read_spec(spec_of({field: value}, {"fraction": 0.1}), max_parameters=10**9)
        (error,) = caught.value.errors
        assert (error.pointer, error.detail[:20]) == (f"/data/{field}", "at most 10,000 names")


def test_a_target_of_thousands_of_numbers_gets_a_few_warnings() -> None:
    data = {"source": "inline", "inputs": [[1.0]], "targets": [[1000.0] * 5000]}
    spec = read(small_spec(data=data, batch_size=1), wide(1))
    assert spec is not None
    *warnings, last = [text for text in find_warnings(spec) if "target" in text]
    assert len(warnings) == 10
    assert last == "the same holds of 4990 more numbers of the target 'targets'"
