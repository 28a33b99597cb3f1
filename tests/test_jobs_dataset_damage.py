"""Damaged files: faults of the bytes are refusals; those of the machine and ours stay visible."""

import ast
import errno
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats.damage import DamagedDataset, refuse_damage, report_damage
from jobs.datasets.formats.data_errors import BadData
from jobs.datasets.formats.npz import Npz
from jobs.datasets.formats.npz_directory import MAX_DIRECTORY_BYTES, check_directory
from jobs.settings import Settings
from jobs.spec.profiles import ParseOptions
from tests.datasets import CSV, JSONL, NPZ, PETS, jsonl_of, npz_of, spec_on_dataset, upload_new

ARRAYS = npz_of(inputs=np.arange(6.0).reshape(3, 2), targets=np.array([0, 1, 1]))


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "parse",
    [
        lambda: zlib.decompress(b"x"), lambda: struct.unpack("<L", b"x"), b"\xff".decode,
        lambda: ast.literal_eval("["), lambda: zipfile.ZipFile(io.BytesIO(b"x")),
        lambda: np.lib.format.read_magic(io.BytesIO(b"x")), lambda: float(10**400),
        lambda: fail(MemoryError()), lambda: fail(OSError(errno.EINVAL, "before the file")),
    ],
)  # fmt: skip
def test_what_a_parser_raises_is_a_fault_of_the_bytes(parse: Any) -> None:
    with pytest.raises(BadData) as caught, refuse_damage("a good file", column="a"):
        parse()

    assert caught.value.errors[0].column == "a"
    assert caught.value.errors[0].detail.startswith("a good file: ")


def test_an_error_of_ours_and_of_the_machine_is_no_fault_of_the_bytes() -> None:
    for error in (OSError(errno.EIO, "broken disk"), OSError(errno.ENOSPC, "full")):
        with pytest.raises(OSError), refuse_damage("a good file"):
            fail(error)
    with pytest.raises(AttributeError), refuse_damage("a good file"):
        Npz.read_pieces(None, "inputs").__next__()  # type: ignore[arg-type]


def zip64_of(directory_bytes: int, *, offset_error: int = 0) -> bytes:
    """Spell arrays as NPZ whose last record is true, and whose record of 64 bits says this size."""
    end = ARRAYS[-22:]
    offset = len(ARRAYS) - 22
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, directory_bytes, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + offset_error, 1)
    return ARRAYS[:-22] + record + locator + end


def test_the_record_of_64_bits_bounds_the_list_of_members_where_there_is_one() -> None:
    check_directory(io.BytesIO(zip64_of(MAX_DIRECTORY_BYTES)))

    for data in (zip64_of(MAX_DIRECTORY_BYTES + 1), zip64_of(1 << 62), zip64_of(9, offset_error=1)):
        with pytest.raises(BadData) as caught:
            check_directory(io.BytesIO(data))
        assert "numpy.savez" in caught.value.errors[0].detail


def test_a_long_header_of_an_array_is_refused_before_it_is_unpacked() -> None:
    header = b"\x93NUMPY\x02\x00" + struct.pack("<L", 1 << 28) + b" " * (1 << 20)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", header)
        archive.writestr("targets.npy", header)

    with pytest.raises(BadData) as caught:
        Npz(file, ParseOptions())
    assert [error.column for error in caught.value.errors] == ["inputs", "targets"]
    assert all("got 4096" in error.detail for error in caught.value.errors)


def test_a_stored_file_is_damaged_if_its_digest_is_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    with pytest.raises(ZeroDivisionError), report_damage(path, digest):
        fail(ZeroDivisionError())
    path.write_bytes(b"abd")
    with pytest.raises(DamagedDataset), report_damage(path, digest):
        fail(ZeroDivisionError())
    for error in (MemoryError(), OSError(errno.EIO, "broken disk")):
        with pytest.raises(type(error)), report_damage(path, digest):
            fail(error)


LINES = jsonl_of([{"a": at, "label": "xy"[at % 2]} for at in range(50)])


@pytest.mark.parametrize(
    ("kind", "data", "cut"),
    [(CSV, PETS, 60), (JSONL, LINES, 500), (NPZ, ARRAYS, 300), (CSV, PETS, 30)],
)
def test_rows_of_a_file_that_was_damaged_on_disk_are_told_to_be_damaged(
    client: Any, settings: Settings, kind: str, data: bytes, cut: int
) -> None:
    dataset = upload_new(client, data, kind)
    (path,) = settings.artifacts.glob("blobs/??/*")

    for bad in (data[:cut], data[:cut] + b"\xff\0\n" + data[cut + 3 :]):
        path.write_bytes(bad)
        response = client.get(dataset["links"]["rows"])
        assert (response.status_code, response.json["type"][-8:]) == (500, ":damaged")
    path.unlink()
    assert client.get(dataset["links"]["rows"]).json["type"].endswith(":damaged")


def test_faults_are_counted_and_values_cut(client: Any) -> None:
    rows = b"a,b\n" + b"%s\n" % (b"x" * 100_000) * 150

    few = client.post("/v1/datasets", data=rows[:300_004], content_type=CSV).json
    many = client.post("/v1/datasets", data=rows, content_type=CSV)

    assert few["detail"].endswith("not 1; 3 faults in all")
    assert many.json["detail"].endswith("; 100 faults, with which reading ended")
    assert len(many.json["errors"]) == 100 and len(many.data) < 100 * 400


def test_rows_of_a_job_whose_file_was_damaged_are_told_to_be_damaged(
    client: Any, settings: Settings
) -> None:
    dataset = upload_new(client, PETS)
    spec = spec_on_dataset(dataset["id"], validation={"fraction": 0.5, "split": "stratified"})
    job = client.post("/v1/jobs", json=spec).json
    (path,) = settings.artifacts.glob("blobs/??/*")
    path.write_bytes(PETS[:60] + b"\xff" * 10)

    response = client.get(f"/v1/jobs/{job['id']}/rows")

    assert response.json["type"] == "urn:tickforge:problem:damaged"
