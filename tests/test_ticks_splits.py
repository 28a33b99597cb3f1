"""The splits of a job's data: what a trainer trains, validates and tests on."""

from typing import Any

import numpy as np
import pytest
import torch

from jobs.sampling.seeds import derive_seed
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from jobs.spec.stored import read_stored_spec
from tests.support import small_spec
from tests.training_records import CPU
from ticks.data.load import JobData, load_data

TEXT = {"source": "example", "name": "genesis", "window": 64}
LM = {"family": "transformer_lm", "layers": 1, "heads": 1, "width": 8}


def read(**changes: Any) -> JobSpec:
    return read_spec(small_spec(**changes), max_parameters=10**9)


def numbered(classes: list[int], **changes: Any) -> JobSpec:
    """A spec of inline rows, whose only input is their number."""
    inputs = [[row] for row in range(len(classes))]
    data = {"source": "inline", "inputs": inputs, "targets": classes}
    return read(data=data, objective="cross_entropy", **changes)


def rows_of(part: Any) -> list[int]:
    return [] if part is None else part.inputs[:, 0].int().tolist()


def parts(data: JobData) -> tuple[list[int], list[int], list[int]]:
    return rows_of(data.training), rows_of(data.held_out), rows_of(data.test)


@pytest.mark.parametrize("split", ["random", "last", "stratified"])
@pytest.mark.parametrize("test_split", ["random", "last", "stratified"])
def test_the_test_is_drawn_first_and_no_row_is_in_two_parts(split: str, test_split: str) -> None:
    classes = [row % 3 for row in range(60)]
    validation = {"fraction": 0.25, "split": split}
    test = {"fraction": 0.2, "split": test_split}
    spec = numbered(classes, validation=validation, test=test, seed=3)
    training, held_out, tested = parts(load_data(spec, CPU))
    assert (len(training), len(held_out), len(tested)) == (33, 15, 12)
    assert sorted(training + held_out + tested) == list(range(60))
    assert all(part == sorted(part) for part in (training, held_out, tested))
    alone = numbered(classes, test=test, seed=3)
    assert parts(load_data(alone, CPU))[2] == tested


def test_classes_of_inline_rows_are_stratified_unless_that_leaves_a_class_without_rows() -> None:
    spec = numbered([0] * 10 + [1] * 10, validation={"fraction": 0.3})
    assert spec.validation is not None and spec.validation.split == "stratified"
    _, held_out, _ = parts(load_data(spec, CPU))
    assert sum(row < 10 for row in held_out) == 3 and len(held_out) == 6
    few = numbered([0, 1, 2, 3], validation={"fraction": 0.5}, batch_size=1)
    assert few.validation is not None and few.validation.split == "random"


def test_examples_drawn_rows_and_numbers_are_split_at_random() -> None:
    sources: list[dict[str, Any]] = [
        {"source": "example", "name": "digits"},
        {"source": "synthetic", "kind": "classification", "samples": 40},
        {"source": "synthetic", "kind": "regression", "samples": 40},
        {"source": "inline", "inputs": [[1], [2], [3]], "targets": [0, 1, 2]},
    ]
    for data in sources:
        spec = read(data=data, validation={"fraction": 0.4}, batch_size=1)
        assert spec.validation is not None and spec.validation.split == "random"


def test_a_stored_spec_without_a_split_keeps_its_rows_and_their_number() -> None:
    """The first revision: at random, and 0.29 of 100 is 28, even for classes."""
    stored = numbered([row % 2 for row in range(100)], validation={"fraction": 0.29}).to_stored()
    del stored["revision"], stored["validation"]["split"], stored["validation"]["group"]
    del stored["test"]
    spec = read_stored_spec(stored)
    generator = torch.Generator().manual_seed(derive_seed("validation", spec.seed))
    expected = torch.randperm(100, generator=generator)[:28].sort().values.tolist()
    training, held_out, _ = parts(load_data(spec, CPU))
    assert held_out == expected and len(training) == spec.training_rows == 72
    assert read_stored_spec(spec.to_stored()) == spec


@pytest.mark.parametrize("split", ["random", "last"])
def test_windows_of_a_text_are_split_like_rows(split: str) -> None:
    part = {"fraction": 0.1, "split": split}
    spec = read(model=LM, data=TEXT, validation=part, test=part, batch_size=4)
    data = load_data(spec, CPU)
    assert data.held_out is not None and data.test is not None
    total = spec.profile.rows
    numbers = [
        rows._map_numbers(np.arange(rows.count)).tolist()  # type: ignore[attr-defined]
        for rows in (data.training, data.held_out, data.test)
    ]
    assert sorted(sum(numbers, [])) == list(range(total))
    assert [len(part) for part in numbers[1:]] == [total // 10, total // 10]
    assert all(part == sorted(part) for part in numbers)
    if split == "last":
        assert numbers[2] == list(range(total - total // 10, total))
        assert numbers[1] == list(range(total - 2 * (total // 10), total - total // 10))
