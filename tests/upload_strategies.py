"""Hypothesis strategies of files that may be uploaded, one for each media type."""

import csv
import importlib.util
import io
import json
from functools import partial
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st

from jobs.datasets.formats.parquet import PARQUET
from tests.datasets import CSV, JSONL, NPZ, TEXT, TSV, npz_of, parquet_of

NUMBERS = st.integers(-1000, 1000) | st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
WORDS = st.text("abcxyzäöß ", min_size=1, max_size=8).map(lambda word: f"w{word}w")
LETTERS = st.text("abc é世\n", min_size=1, max_size=60)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows of columns that are numbers or words."""
    kinds = draw(st.lists(st.sampled_from([NUMBERS, WORDS]), min_size=1, max_size=4))
    names = [f"column {index}" for index, _ in enumerate(kinds)]
    rows = st.tuples(*kinds).map(lambda values: dict(zip(names, values, strict=True)))
    return draw(st.lists(rows, min_size=1, max_size=5))


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """Draw an NPZ file of inputs and targets."""
    rows, features = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    inputs = np.arange(rows * features, dtype=np.float32).reshape(rows, features)
    return npz_of(inputs=inputs, targets=np.arange(rows), compressed=draw(st.booleans()))


def csv_of(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def jsonl_of(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def register_strategies() -> None:
    """Register with schemathesis how such bodies are made."""
    schemathesis.openapi.media_type(CSV, tables().map(csv_of))
    schemathesis.openapi.media_type(TSV, tables().map(partial(csv_of, delimiter="\t")))
    for jsonl in (JSONL, "application/jsonl", "application/jsonlines"):
        schemathesis.openapi.media_type(jsonl, tables().map(jsonl_of))
    is_parquet_read = importlib.util.find_spec("pyarrow") is not None
    parquet = tables().map(parquet_of) if is_parquet_read else st.just(b"PAR1")
    schemathesis.openapi.media_type(PARQUET, parquet)
    schemathesis.openapi.media_type(TEXT, LETTERS.map(str.encode))
    schemathesis.openapi.media_type(NPZ, arrays())
