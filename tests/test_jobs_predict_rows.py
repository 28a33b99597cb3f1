"""Rows of a predict are refused where `encode` of model.py cannot read them, and nowhere else."""

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.answers.row_checks import find_row_errors
from models.checkpoint_source import render_model_py

CELLS = {"decimal": "comma", "thousands": "point", "missing": ["", "NA", "?"]}
CONFIG: dict[str, Any] = {
    "inputs": 12, "outputs": 1, "objective": "mse", "parameters": 1, "target": "price",
    "model": {"family": "mlp"}, "cells": CELLS,
    "columns": [
        {"name": "plain", "type": "number"},
        {"name": "filled", "type": "number", "fill": 0.5, "indicator": True},
        {"name": "day", "type": "datetime"},
        {"name": "word", "type": "category", "classes": ["a", "b~/c", ""]},
        {"name": "code", "type": "category", "classes": ["1", "2"], "by_value": True},
        {"name": "open", "type": "category", "classes": ["x"], "unseen": "ignore"},
        {"name": "v[0]", "type": "number"},
        {"name": "v[1]", "type": "number", "fill": 1.0},
    ],
}  # fmt: skip
GOOD = {
    "plain": 1, "filled": None, "day": "2026-01-31", "word": "a", "code": 2.0, "open": "new",
    "v": [1, None],
}  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.just(10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("aé1,.-+e _", max_size=4),
    st.sampled_from(
        ["", " NA ", "?", "1,5", "1.234,5", "1_0", "inf", "nan", "1e3", "1e39", "٣", "+.5", "a",
         "x", "b~/c", "1", "2,0", "1970-01-01T00:00Z", "31.1.2026", "2026/02/30"]
    ),
)  # fmt: skip
VECTORS = st.one_of(VALUES.filter(lambda value: not isinstance(value, str)), st.lists(VALUES))
COLUMNS = [column["name"] for column in CONFIG["columns"]]
RECORDS = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys([*COLUMNS, "price"], VALUES), "v": VECTORS}
)


@pytest.fixture(scope="module")
def model() -> ModuleType:
    """model.py of a net with columns of every kind."""
    module = ModuleType("model")
    exec(compile(render_model_py(CONFIG), "model.py", "exec"), module.__dict__)
    return module


@settings(max_examples=300, deadline=None)
@given(changes=RECORDS, missing=st.sets(st.sampled_from([*GOOD]), max_size=1))
def test_rows_are_refused_exactly_where_model_py_cannot_read_them(
    model: ModuleType, changes: dict[str, Any], missing: set[str]
) -> None:
    record = {name: value for name, value in {**GOOD, **changes}.items() if name not in missing}
    errors, _ = find_row_errors([record], CONFIG, ())
    try:
        model.encode([record])
    except (KeyError, ValueError):
        assert errors, record
    else:
        assert errors == [], record


def test_what_a_column_cannot_be_is_refused_though_python_would_read_it() -> None:
    """true is no 1, NaN is no JSON, and a name that the table has not is a slip of the pen."""
    for change in ({"plain": True}, {"plain": float("nan")}, {"code": {}}, {"plane": 1}):
        (error,), left_out = find_row_errors([GOOD, {**GOOD, **change}], CONFIG, ())
        assert error.pointer == f"/rows/1/{next(iter(change))}" and left_out == 0
    assert find_row_errors([{**GOOD, "price": "x", "note": "y"}], CONFIG, ("note",)) == ([], 0)


def test_the_first_errors_of_many_rows_are_told_and_the_others_counted() -> None:
    errors, left_out = find_row_errors([{**GOOD, "word": "z"}] * 250, CONFIG, ())
    assert len(errors) == 100 and left_out == 150
    assert errors[99].pointer == "/rows/99/word"
