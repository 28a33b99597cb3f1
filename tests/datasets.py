"""Helpers for datasets: small tables in several formats, uploads, files on disk."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.archive.record_folders import ARCHIVE_FOLDER
from jobs.datasets.formats.data_errors import BadData, DataError
from jobs.datasets.profiling import make_profiler
from jobs.spec.profiles import DatasetProfile, MediaType, ParseOptions

CSV, JSONL, TEXT, NPZ = "text/csv", "application/x-ndjson", "text/plain", "application/x-npz"
PARQUET = "application/vnd.apache.parquet"
TSV, FORM = "text/tab-separated-values", "multipart/form-data"
#: numbers and a category; the class depends on both
PETS = b"""weight,colour,age,pet
4.5,black,3,cat
31.5,brown,7,dog
3.25,white,1,cat
22,black,4,dog
5,brown,12,cat
40.125,white,2,dog
"""
Row = dict[str, str | float]


def upload(client: Any, data: bytes, kind: str = CSV, **query: Any) -> Any:
    """POST a dataset; return the response."""
    headers = {"Idempotency-Key": query.pop("key")} if "key" in query else {}
    return client.post(
        "/v1/datasets", data=data, content_type=kind, query_string=query, headers=headers
    )


def upload_new(client: Any, data: bytes, kind: str = CSV, **query: Any) -> dict[str, Any]:
    """POST a dataset that must be new; return it."""
    response = upload(client, data, kind, **query)
    assert response.status_code == 201, response.json
    dataset: dict[str, Any] = response.json
    return dataset


def spec_on_dataset(dataset_id: str, target: str | None = "pet", **changes: Any) -> dict[str, Any]:
    """Return the spec of a small job; `data` is merged into its data."""
    data = {"source": "dataset", "id": dataset_id, "target": target, **changes.pop("data", {})}
    body = {"model": {"family": "mlp", "hidden": [4]}, "budget": {"ticks": 6}, **changes}
    return {**body, "data": {name: value for name, value in data.items() if value is not None}}


def profile_bytes(
    data: bytes,
    kind: MediaType = "text/csv",
    piece_size: int = 1 << 18,
    options: ParseOptions | None = None,
) -> DatasetProfile:
    """Profile bytes that come in pieces of this length."""
    accumulator = make_profiler(kind, options or ParseOptions())
    for offset in range(0, len(data), piece_size):
        accumulator.feed(data[offset : offset + piece_size])
    return accumulator.finish(Path("/dev/null"))


def expect_refusal(
    data: bytes,
    kind: MediaType = "text/csv",
    piece_size: int = 1 << 18,
    options: ParseOptions | None = None,
) -> list[DataError]:
    """Return the errors of bytes that must be refused."""
    try:
        profile = profile_bytes(data, kind, piece_size, options)
    except BadData as error:
        return error.errors
    raise AssertionError(f"not refused: {profile}")


def csv_of(rows: Sequence[Row]) -> bytes:
    """Spell rows as CSV, as Python does."""
    import csv

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def jsonl_of(rows: Sequence[Row]) -> bytes:
    """Spell rows as JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def npz_of(compressed: bool = False, **arrays: Any) -> bytes:
    """Spell arrays as NPZ."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def parquet_of(columns: Any, **options: Any) -> bytes:
    """Spell a table of columns, or rows, as Parquet. Needs pyarrow (tests/needs.py)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    table = pa.Table.from_pylist(columns) if isinstance(columns, list) else pa.table(columns)
    pq.write_table(table, file, **options)
    return file.getvalue()


def files_of(folder: Path) -> list[str]:
    """Return every file below a folder, except the archive's."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in paths if path.parts[0] != ARCHIVE_FOLDER)
