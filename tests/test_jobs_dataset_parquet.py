"""Parquet: each type as cells, rows in any layout, refusals that trust no size in the file."""

import datetime
import importlib.util
import io
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats import parquet_pages
from jobs.datasets.formats.data_errors import BadData, DataError, DataErrors, MissingExtra
from jobs.datasets.formats.readers import read_table_blocks
from jobs.datasets.profiling import make_profiler
from jobs.spec.profiles import DatasetProfile, ParseOptions
from tests.datasets import CSV, JSONL, PARQUET, csv_of, jsonl_of, parquet_of, profile_bytes
from tests.needs import PYARROW, needs

pytestmark = needs(PYARROW)
BERLIN = datetime.timezone(datetime.timedelta(hours=1))
NOON = datetime.datetime(2024, 2, 29, 12, 0, 0)


@pytest.fixture
def profile(tmp_path: Path) -> Any:
    def make(data: bytes, max_bytes: int = 1 << 30) -> DatasetProfile:
        (tmp_path / "file").write_bytes(data)
        profiler = make_profiler(PARQUET, ParseOptions(), max_bytes=max_bytes)  # type: ignore[arg-type]
        profiler.feed(data)
        return profiler.finish(tmp_path / "file")

    return make


def cells(data: bytes, **place: Any) -> dict[str, list[Any]]:
    """Read all columns, or those of the rows from a place on."""
    columns: dict[str, list[Any]] = {}
    errors = DataErrors()
    for names, block in read_table_blocks(
        io.BytesIO(data),
        PARQUET,  # type: ignore[arg-type]
        ParseOptions(),
        errors,
        **place,
    ):
        for name, values in zip(names, block.columns, strict=True):
            columns.setdefault(name, []).extend(values)
    errors.check()
    return columns


def refusal(data: bytes) -> DataError:
    with pytest.raises(BadData) as caught:
        cells(data)
    return caught.value.errors[0]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([True, None, False], "bool", ["true", None, "false"]),
        ([-5, None, 127], "int8", [-5, None, 127]),
        ([2**64 - 1, None, 0], "uint64", [2**64 - 1, None, 0]),
        ([0.1, None, float("nan")], "float64", [0.1, None, None]),
        ([float("inf"), 1.5, -float("inf")], "float32", ["inf", 1.5, "-inf"]),
        (np.array([1.5, np.nan, -2], np.float16), "float16", [1.5, None, -2.0]),
        (["ü", None, ""], "string", ["ü", None, ""]),
        (["ü", None, ""], "large_string", ["ü", None, ""]),
        ([b"x", None, "ü".encode()], "binary", ["x", None, "ü"]),
        ([None, None, None], "null", [None] * 3),
        ([datetime.date(2024, 2, 29), None], "date32", ["2024-02-29", None]),
        ([datetime.date(1969, 2, 28), None], "date64", ["1969-02-28", None]),
        ([NOON, None], "timestamp[s]", ["2024-02-29T12:00:00", None]),
        ([NOON.replace(microsecond=5)], "timestamp[us]", ["2024-02-29T12:00:00.000005"]),
        ([1_500_000_001], "timestamp[ns]", ["1970-01-01T00:00:01.500000001"]),
        ([datetime.timedelta(hours=1), None], "duration[ms]", [3600.0, None]),
        ([datetime.time(12, 30)], "time32[s]", ["12:30:00"]),
    ],
)
def test_values_of_each_type_are_cells(values: Any, kind: str, expected: list[Any]) -> None:
    import pyarrow as pa

    data = parquet_of({"a": pa.array(values, pa.type_for_alias(kind))})

    assert cells(data) == {"a": expected}


def test_times_of_a_zone_are_told_in_utc() -> None:
    import pyarrow as pa

    moments = pa.array([NOON.replace(tzinfo=BERLIN)], pa.timestamp("ms", tz="Europe/Berlin"))

    assert cells(parquet_of({"a": moments})) == {"a": ["2024-02-29T11:00:00Z"]}


def test_dates_and_times_are_columns_of_times(profile: Any) -> None:
    import pyarrow as pa

    day = datetime.date(1970, 1, 2)
    data = parquet_of({"day": [day, None], "time": pa.array([1, 1500], pa.timestamp("ms"))})

    day_column, time_column = profile(data).columns
    assert (day_column.type, day_column.min, day_column.missing) == ("datetime", 86400, 1)
    assert (time_column.type, time_column.max) == ("datetime", 1.5)


def test_decimals_are_the_nearest_numbers() -> None:
    import pyarrow as pa

    texts = [f"{number * 0.37:.2f}" for number in range(10_000)]
    prices = pa.array([*map(Decimal, texts), None], pa.decimal128(20, 2))
    whole = pa.array([Decimal(10) ** 30, None], pa.decimal128(38, 0))

    assert cells(parquet_of({"a": prices})) == {"a": [*map(float, texts), None]}
    assert cells(parquet_of({"a": whole})) == {"a": [10**30, None]}


def test_categories_of_pandas_are_their_texts_or_numbers() -> None:
    import pyarrow as pa

    columns = {
        "a": pa.array(["x", None, "y", "x"]).dictionary_encode(),
        "b": pa.array([7, 8, None, 7]).dictionary_encode(),
    }

    assert cells(parquet_of(columns)) == {"a": ["x", None, "y", "x"], "b": [7, 8, None, 7]}


@pytest.mark.parametrize("fixed", [False, True])
def test_a_list_of_numbers_becomes_columns(fixed: bool) -> None:
    import pyarrow as pa

    kind = pa.list_(pa.float32(), 2) if fixed else pa.list_(pa.float32())
    vectors = pa.array([None, [1, 2.5], [3, None]], kind)

    columns = cells(parquet_of({"v": vectors, "y": [1, 2, 3]}))

    assert columns == {"v[0]": [None, 1, 3], "v[1]": [None, 2.5, None], "y": [1, 2, 3]}
    assert list(columns) == ["v[0]", "v[1]", "y"]


@pytest.mark.parametrize(
    ("values", "row", "word"),
    [
        ([[1, 2], [1]], 2, "a list of 2 numbers"),
        ([b"x", b"\xff"], 2, "UTF-8"),
        (["x", "y" * ((1 << 20) + 1)], 2, "1,048,576"),
        ([["x"]], None, "lists of numbers"),
        ([{"b": 1}], None, "lists of numbers"),
    ],
)
def test_values_that_are_no_cells_are_refused_with_row_and_column(
    values: list[Any], row: int | None, word: str
) -> None:
    error = refusal(parquet_of({"n": [1] * len(values), "a": values}))

    assert (error.row, error.column) == (row, "a") and word in error.detail


def test_all_columns_that_cannot_be_read_are_named_at_once() -> None:
    with pytest.raises(BadData) as caught:
        cells(parquet_of({"a": [{"x": 1}], "b": [1], "c": [[{"x": 1}]]}))

    assert [error.column for error in caught.value.errors] == ["a", "c"]


def test_names_follow_the_rules_of_every_table() -> None:
    assert "of its own" in refusal(parquet_of({"v": [[1, 2]], "v[0]": [3]})).detail
    assert "at least one row" in refusal(parquet_of({"a": np.zeros(0)})).detail


ROWS = 30_000


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "id": np.arange(ROWS),
        "number": rng.standard_normal(ROWS),
        "text": [f"text {number}" * 9 for number in rng.integers(0, 20_000, ROWS)],
        "class": [
            None if number == 3 else f"class {number}" for number in rng.integers(0, 9, ROWS)
        ],
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 997},
        {"use_dictionary": False, "compression": "gzip"},
        {"data_page_version": "2.0", "compression": "zstd", "data_page_size": 4096},
        {"dictionary_pagesize_limit": 10_000, "write_page_checksum": True, "compression": "none"},
        {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": ["class"]},
        {"column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}, "use_dictionary": ["class"]},
    ],
)
def test_rows_are_read_in_order_from_any_layout(columns: Any, options: Any) -> None:
    data = parquet_of(columns, **options)
    expected = {name: list(values) for name, values in columns.items()}

    assert cells(data) == expected
    for first in (1, 2, 998, 20_001, ROWS):
        rest = cells(data, names=list(columns), first=first)
        assert rest == {name: values[first - 1 :] for name, values in expected.items()}


def test_a_profile_is_that_of_the_same_rows_in_other_formats(profile: Any) -> None:
    rng = np.random.default_rng(2)
    rows: list[dict[str, Any]] = [
        {"a": float(rng.standard_normal()), "b": int(rng.integers(5)), "c": f"x{rng.integers(4)}"}
        for _ in range(3000)
    ]

    as_parquet = profile(parquet_of(rows, row_group_size=700)).columns
    as_jsonl, as_csv = (
        profile_bytes(jsonl_of(rows), JSONL).columns or [],  # type: ignore[arg-type]
        profile_bytes(csv_of(rows), CSV).columns or [],  # type: ignore[arg-type]
    )

    def exact(columns: Any) -> Any:
        return [column.model_dump(exclude={"mean", "deviation"}) for column in columns]

    assert exact(as_parquet) == exact(as_jsonl) == exact(as_csv)
    for one, other in zip(as_parquet[:2], as_csv, strict=False):
        assert np.allclose([one.mean, one.deviation], [other.mean, other.deviation], rtol=1e-12)


def test_the_index_of_pandas_is_told_and_is_no_feature(profile: Any) -> None:
    index, value = profile(parquet_of({"__index_level_0__": [5, 6], "a": [1, 2]})).columns

    assert index.index and not value.index


def test_a_file_of_more_cells_than_a_csv_could_have_is_refused(profile: Any) -> None:
    data = parquet_of({"a": np.zeros(100_000)}, compression="zstd")

    assert profile(data, max_bytes=200_000).rows == 100_000
    with pytest.raises(BadData, match="99,999 cells"):
        profile(data, max_bytes=199_999)


def test_pages_are_measured_before_they_are_unpacked(
    columns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = parquet_of(columns)
    monkeypatch.setattr(parquet_pages, "MAX_PAGE_BYTES", 1000)
    assert "pages of at most 1,000 bytes" in refusal(data).detail

    monkeypatch.undo()
    monkeypatch.setattr(parquet_pages, "MAX_OPEN_BYTES", 100_000)
    assert "open pages" in refusal(data).detail

    monkeypatch.undo()
    monkeypatch.setattr(parquet_pages, "MAX_PAGES", 2)
    assert "at most 2 pages" in refusal(data).detail


def test_a_page_counts_as_its_own_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(parquet_of({"a": [1.5] * 5}, use_dictionary=False, compression="none"))
    monkeypatch.setattr(parquet_pages, "MAX_PAGE_BYTES", 60)
    assert cells(bytes(data)) == {"a": [1.5] * 5}

    data[data.index(b"\x15\x00\x15") + 3] = 2 * 63  # the first page: of type 0, of 63 bytes
    assert "pages of at most 60 bytes" in refusal(bytes(data)).detail


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "a Parquet file"),
        (b"PAR1", "a Parquet file"),
        (b"a,b\n1,2\n", "a Parquet file"),
        (b"PAR1" + struct.pack("<L", 1 << 30) + b"PAR1", "footer of at most 16,777,216 bytes"),
        (b"PAR1" + struct.pack("<L", 1 << 20) + b"PAR1", "longer than the file"),
        (b"PAR1" + bytes(9) + struct.pack("<L", 9) + b"PARE", "not encrypted"),
        (b"PAR1" + b"\xff" * 9 + struct.pack("<L", 9) + b"PAR1", "footer that can be read"),
        (b"PAR1" + b"\x39" * 9 + struct.pack("<L", 9) + b"PAR1", "footer that can be read"),
        (b"PAR1" + b"\x1c" * 99 + struct.pack("<L", 99) + b"PAR1", "footer that can be read"),
    ],
)
def test_a_file_that_is_none_is_refused(data: bytes, word: str) -> None:
    assert word in refusal(data).detail


def test_a_file_cut_anywhere_is_refused() -> None:
    rows = [{"a": at / 2, "b": f"text {at % 7}", "v": [at, 1], "n": None} for at in range(300)]
    data = parquet_of(rows, compression="zstd", row_group_size=100)
    for length in range(0, len(data), max(1, len(data) // 200)):
        with pytest.raises(BadData):
            cells(data[:length])


def test_without_pyarrow_the_upload_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(MissingExtra, match=r"pip install -r requirements-parquet\.txt"):
        make_profiler(PARQUET, ParseOptions())  # type: ignore[arg-type]
