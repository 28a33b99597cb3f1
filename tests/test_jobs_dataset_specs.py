"""Specs on datasets: everything is checked at submission, from the profiles alone."""

from typing import Any

import pytest

from jobs.spec.base import InvalidSpec
from jobs.spec.dataset_binding import DataFile
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import DatasetProfile
from jobs.spec.reading import read_spec
from jobs.spec.stored import read_stored_spec
from tests.datasets import PETS, profile_bytes, spec_on_dataset

TABLE, SECOND, ARRAYS, TEXT = ("ds_" + letter * 26 for letter in "abcd")
NUMBERS = b"x,grade,const,flag\n0.5,3,7,1\n1.5,5,7,-1\n2.5,3,7,1\n"


def arrays(targets: list[int], classes: list[int] | None) -> DatasetProfile:
    return DatasetProfile.model_validate(
        {
            "rows": 6,
            "inputs": {"shape": [6, 2], "dtype": "<f4"},
            "targets": {"shape": targets, "dtype": "<i8"},
            "target_classes": classes,
        }
    )


def read(body: dict[str, Any], **profiles: DatasetProfile) -> JobSpec:
    """Read a spec with these datasets; TABLE is the pets by default."""
    named = {"table": TABLE, "second": SECOND, "arrays": ARRAYS, "text": TEXT}
    profiles = {"table": profile_bytes(PETS), **profiles}
    known = {named[name]: profile for name, profile in profiles.items()}

    def look_up(dataset_id: str) -> KnownDataset | None:
        if dataset_id not in known:
            return None
        profile = known[dataset_id]
        kind: Any = "application/x-npz" if profile.inputs else "text/csv"
        source = DataFile(
            path=f"blobs/{dataset_id}", sha256="0" * 64, bytes=1, type=kind,
            rows=profile.rows or 0, text=profile.text,
        )  # fmt: skip
        return KnownDataset(source, profile)

    return read_spec(body, max_parameters=10**9, datasets=look_up)


def faults(body: dict[str, Any], **profiles: DatasetProfile) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSpec) as caught:
        read(body, **profiles)
    return [(fault.pointer, fault.detail) for fault in caught.value.errors]


def test_a_category_is_one_input_a_class_and_a_class_target_one_output_a_class() -> None:
    spec = read(spec_on_dataset(TABLE))

    assert (spec.profile.rows, spec.profile.features, spec.profile.outputs) == (6, 2 + 3, 2)
    assert (spec.objective, spec.profile.kind, spec.profile.classes) == (
        "cross_entropy",
        "class",
        2,
    )
    assert spec.facts is not None and spec.facts.target is not None
    assert spec.facts.target.names == ["cat", "dog"]
    assert spec.datasets == {TABLE: f"blobs/{TABLE}"}


def test_a_number_is_trained_with_mse_unless_the_spec_says_classes() -> None:
    number = read(spec_on_dataset(TABLE, "age"))
    classes = read(spec_on_dataset(TABLE, "age", objective="cross_entropy"))

    assert (number.objective, number.profile.outputs) == ("mse", 1)
    assert (classes.profile.kind, classes.profile.outputs) == ("class", 6)
    assert classes.facts is not None and classes.facts.target is not None
    assert classes.facts.target.names == ["1", "2", "3", "4", "7", "12"]


def test_classes_of_numbers_may_be_any_whole_ones() -> None:
    spec = read(
        spec_on_dataset(TABLE, "flag", objective="cross_entropy"), table=profile_bytes(NUMBERS)
    )

    assert spec.facts is not None and spec.facts.target is not None
    assert spec.facts.target.names == ["-1", "1"]


def test_features_may_be_chosen_and_whole_numbers_read_as_a_category() -> None:
    data = {"features": ["age", "weight"], "types": {"age": "category"}}
    spec = read(spec_on_dataset(TABLE, data=data))

    assert spec.profile.features == 1 + 6
    typed = read(spec_on_dataset(TABLE, "age", data={"types": {"age": "category"}}))
    assert (typed.objective, typed.profile.outputs) == ("cross_entropy", 6)


def test_a_category_has_at_most_a_thousand_different_values() -> None:
    rows = "".join(f"{number}.5,{number % 2}\n" for number in range(1001))
    many = profile_bytes(f"x,y\n{rows}".encode())

    ((pointer, detail),) = faults(
        spec_on_dataset(TABLE, "y", data={"types": {"x": "category"}}), table=many
    )
    assert pointer == "/data/types/x" and "different values" in detail
    assert read(spec_on_dataset(TABLE, data={"types": {"weight": "category"}})).profile.features > 6


def test_a_stored_spec_is_whole_and_a_shown_one_can_be_sent_again() -> None:
    spec = read(spec_on_dataset(TABLE, validation={"id": SECOND}), second=profile_bytes(PETS))

    assert read_stored_spec(spec.to_stored()) == spec
    shown = spec.model_dump(mode="json")
    assert "facts" not in shown
    assert read(shown, second=profile_bytes(PETS)) == spec


@pytest.mark.parametrize(
    ("change", "pointer", "word"),
    [
        ({"data": {"id": "ds_x"}}, "/data/id", "the id of a dataset"),
        ({"data": {"id": SECOND}}, "/data/id", "none of this id"),
        ({"target": None}, "/data/target", "weight, colour, age, pet"),
        ({"target": "breed"}, "/data/target", "one of the dataset's columns"),
        ({"data": {"features": ["age", "breed"]}}, "/data/features/1", "one of the dataset's"),
        ({"data": {"features": ["age", "pet"]}}, "/data/features/1", "not the target"),
        ({"data": {"features": ["age", "age"]}}, "/data/features/1", "once"),
        ({"data": {"features": []}}, "/data/features", "at least 1"),
        ({"data": {"types": {"a/b": "number"}}}, "/data/types/a~1b", "columns"),
        ({"data": {"types": {"pet": "number"}}}, "/data/types/pet", "no numbers"),
        ({"data": {"types": {"age": "text"}}}, "/data/types/age", "a text needs a family"),
        ({"data": {"window": 3}}, "/data/window", "table"),
        ({"target": "weight", "objective": "cross_entropy"}, "/data/target", "whole numbers"),
        ({"objective": "mse"}, "/objective", "numbers as targets"),
        ({"batch_size": 7}, "/batch_size", "6 training rows"),
        ({"validation": {"fraction": 0.1}}, "/validation/fraction", "6 rows"),
        ({"validation": {}}, "/validation", "exactly one"),
        ({"validation": {"fraction": 0.5, "id": SECOND}}, "/validation", "exactly one"),
        ({"validation": {"id": SECOND}}, "/validation/id", "none of this id"),
    ],
)
def test_a_field_that_does_not_fit_the_dataset_is_refused_at_its_place(
    change: dict[str, Any], pointer: str, word: str
) -> None:
    errors = faults(spec_on_dataset(**{"dataset_id": TABLE, **change}))

    assert errors[0][0] == pointer and word in errors[0][1]


def test_a_column_of_more_than_1000_different_values_is_no_category() -> None:
    table = profile_bytes(b"x,y\n" + b"".join(b"%d.5,%d\n" % (at, at % 2) for at in range(1001)))
    spec = spec_on_dataset(TABLE, "y", data={"types": {"x": "category"}})

    ((pointer, detail),) = faults(spec, table=table)
    assert pointer == "/data/types/x" and "at most 1,000 different values" in detail


def test_a_target_needs_two_classes_and_a_table_features() -> None:
    table = profile_bytes(NUMBERS)
    const = spec_on_dataset(TABLE, "const", objective="cross_entropy")

    assert "2 classes" in faults(const, table=table)[0][1]
    assert (
        faults(spec_on_dataset(TABLE, "a"), table=profile_bytes(b"a\n1\n2\n"))[0][0]
        == "/data/target"
    )


@pytest.mark.parametrize(
    ("second", "word"),
    [
        (b"weight,colour,age\n1,black,3\n", "'pet', which it lacks"),
        (PETS.replace(b"31.5", b"heavy"), "numbers in the column 'weight'"),
        (PETS.replace(b"brown", b"red"), "not 'red'"),
        (PETS.replace(b"dog", b"1").replace(b"cat", b"2"), "not '1', '2'"),
        (PETS.replace(b"dog", b"eel"), "not 'eel'"),
    ],
)
def test_a_second_dataset_must_be_like_the_first(second: bytes, word: str) -> None:
    body = spec_on_dataset(TABLE, validation={"id": SECOND})

    ((pointer, detail),) = faults(body, second=profile_bytes(second))
    assert pointer == "/validation/id" and word in detail


def test_a_second_dataset_may_differ_in_what_the_job_does_not_use() -> None:
    body = spec_on_dataset(TABLE, data={"features": ["age"]}, validation={"id": SECOND})

    spec = read(body, second=profile_bytes(b"pet,age\ndog,100\n"))
    assert (spec.held_out_rows, spec.training_rows) == (0, 6)
    assert spec.validation is not None and spec.validation.every_ticks == 100


def test_a_dataset_of_another_kind_cannot_be_the_second() -> None:
    body = spec_on_dataset(TABLE, validation={"id": ARRAYS})
    inline = {"source": "inline", "inputs": [[1], [2]], "targets": [1, 2]}
    other = {**spec_on_dataset(TABLE, validation={"id": SECOND}), "data": inline}

    assert "same kind" in faults(body, arrays=arrays([6], [0, 1]))[0][1]
    assert faults(other)[0][0] == "/validation/id"


def test_arrays_have_no_columns_and_classes_where_targets_are_whole() -> None:
    def body(**changes: Any) -> dict[str, Any]:
        return spec_on_dataset(ARRAYS, None, **changes)

    plain = read(body(), arrays=arrays([6], [0, 1]))
    classes = read(body(objective="cross_entropy"), arrays=arrays([6], [0, 4, 9]))
    wide = read(body(), arrays=arrays([6, 3], None))

    assert (plain.objective, plain.profile.features, plain.profile.outputs) == ("mse", 2, 1)
    assert (classes.profile.kind, classes.profile.outputs) == ("class", 3)
    assert wide.profile.outputs == 3
    named = spec_on_dataset(ARRAYS, "pet", data={"features": ["age"]})
    assert [at for at, _ in faults(named, arrays=arrays([6], None))] == [
        "/data/target", "/data/features",
    ]  # fmt: skip
    refusal = faults(body(objective="cross_entropy"), arrays=arrays([6], None))
    assert "targets must be texts or have" in refusal[0][1]


def test_a_text_is_no_data_for_an_mlp() -> None:
    text = profile_bytes(b"some text, long enough", "text/plain")

    errors = faults(spec_on_dataset(TEXT, None, data={"window": 4}), text=text)
    assert errors[0][0] == "/model/family"
    assert (
        faults(spec_on_dataset(TEXT, "pet", data={"window": 4}), text=text)[0][0] == "/data/target"
    )
    assert faults(spec_on_dataset(TEXT, None), text=text)[0][0] == "/data/window"


def test_a_column_of_groups_must_be_of_a_table_and_have_no_gap() -> None:
    rows = b"patient,size,pet\n" + b"a,1,cat\nb,2,dog\n" * 3
    with_gap = rows + b",3,cat\n"
    validation = {"fraction": 0.3, "group": "patient"}

    def pointers(profile: DatasetProfile, **changes: Any) -> list[str]:
        body = spec_on_dataset(TABLE, **{"validation": validation, **changes})
        return [pointer for pointer, _ in faults(body, table=profile)]

    table, gap = profile_bytes(rows), profile_bytes(with_gap)
    assert pointers(gap) == ["/validation/group"]
    assert pointers(table, validation={"fraction": 0.3, "group": "doctor"}) == ["/validation/group"]
    assert pointers(table, test={"fraction": 0.3, "group": "pet"}, validation=None) == [
        "/test/group"
    ]
    for bad in (
        {"fraction": 0.3, "split": "group"},
        {"fraction": 0.3, "split": "last", "group": "patient"},
        {"id": SECOND, "split": "random"},
        {"id": SECOND, "group": "patient"},
    ):
        assert pointers(table, validation=bad) == ["/validation"]
    body = spec_on_dataset(ARRAYS, None, validation=validation)
    assert [pointer for pointer, _ in faults(body, arrays=arrays([6], [0, 1]))] == [
        "/validation/group"
    ]
