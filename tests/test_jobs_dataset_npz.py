"""NPZ files: profiles of valid ones, and refusals that trust nothing in the others."""

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats.data_errors import BadData, DataError
from jobs.datasets.profiling import make_profiler
from jobs.spec.profiles import DatasetProfile, ParseOptions
from tests.datasets import npz_of

INPUTS = np.arange(12, dtype=np.float32).reshape(6, 2)
TARGETS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def profile(tmp_path: Any) -> Any:
    def make(data: bytes) -> DatasetProfile:
        (tmp_path / "file").write_bytes(data)
        return make_profiler("application/x-npz", ParseOptions()).finish(tmp_path / "file")

    return make


@pytest.fixture
def fault(profile: Any) -> Any:
    def make(data: bytes) -> DataError:
        with pytest.raises(BadData) as caught:
            profile(data)
        return caught.value.errors[0]

    return make


@pytest.mark.parametrize("compressed", [False, True])
def test_an_npz_has_the_forms_of_its_arrays(profile: Any, compressed: bool) -> None:
    npz_profile = profile(npz_of(compressed, inputs=INPUTS, targets=TARGETS))

    assert npz_profile.rows == 6
    assert (npz_profile.inputs.shape, npz_profile.inputs.dtype) == ([6, 2], "<f4")
    assert (npz_profile.targets.shape, npz_profile.target_classes) == ([6], [0, 1, 2])


def test_targets_may_be_rows_of_numbers(profile: Any) -> None:
    npz_profile = profile(npz_of(inputs=INPUTS, targets=np.ones((6, 3))))

    assert (npz_profile.targets.shape, npz_profile.target_classes) == ([6, 3], None)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"inputs": INPUTS}, "inputs and targets"),
        ({"inputs": INPUTS, "targets": TARGETS, "more": TARGETS}, "nothing else"),
        ({"inputs": INPUTS, "targets": TARGETS[:5]}, "one target a row"),
        ({"inputs": INPUTS[0], "targets": TARGETS}, "[rows, features]"),
        ({"inputs": INPUTS[:0], "targets": TARGETS[:0]}, "at least one row"),
        ({"inputs": INPUTS, "targets": np.array(["a"] * 6)}, "integers or floats"),
        ({"inputs": INPUTS, "targets": np.array([{}] * 6)}, "integers or floats"),
        ({"inputs": INPUTS > 3, "targets": TARGETS}, "integers or floats"),
        ({"inputs": INPUTS.astype(np.longdouble), "targets": TARGETS}, "64 bits"),
        ({"inputs": np.asfortranarray(INPUTS), "targets": TARGETS}, "C order"),
    ],
)
def test_unsuitable_arrays_are_refused(fault: Any, arrays: dict[str, Any], word: str) -> None:
    assert word in fault(npz_of(**arrays)).detail


def test_values_that_no_net_could_take_are_named_by_row_and_place(fault: Any) -> None:
    wrong = INPUTS.astype(np.float64)
    wrong[4, 1] = np.nan

    errors = fault(npz_of(True, inputs=wrong, targets=TARGETS))

    assert (errors.row, errors.column, errors.value) == (5, "inputs[1]", "nan")


def test_a_file_that_is_no_zip_is_refused(fault: Any) -> None:
    good = npz_of(inputs=INPUTS, targets=TARGETS)

    for data in (b"", b"PK", good[:-1], good[:-200], b"a,b\n1,2\n", good + b"more"):
        assert "zip" in fault(data).detail


def test_bytes_that_cannot_be_unpacked_are_refused(fault: Any) -> None:
    good = npz_of(True, inputs=np.random.default_rng(1).random((500, 2)), targets=np.zeros(500))
    torn = bytearray(good)
    torn[300:310] = bytes(10)

    assert "unpacked" in fault(bytes(torn)).detail


def test_a_zip_bomb_is_refused_by_its_ratio(fault: Any) -> None:
    zeros = npz_of(True, inputs=np.zeros((1 << 17, 8)), targets=np.zeros(1 << 17))

    assert "100 times" in fault(zeros).detail


def test_a_header_that_promises_more_than_there_is_makes_no_room_for_it(fault: Any) -> None:
    header = np.lib.format.header_data_from_array_1_0(INPUTS)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {**header, "shape": (1 << 40, 2)})

    assert "shape" in fault(zipped(head.getvalue() + INPUTS.tobytes())).detail


def test_a_header_of_any_length_or_code_is_refused(fault: Any) -> None:
    long = b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b" " * 60_000
    code = b"{'descr': __import__('os'), 'fortran_order': False, 'shape': (6, 2)}"
    bad = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(code)) + code

    assert "numpy.save" in fault(zipped(long, zipfile.ZIP_STORED)).detail
    assert "numpy.save" in fault(zipped(bad)).detail


def test_a_list_of_many_members_is_refused_before_it_is_read(fault: Any) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(100):
            archive.writestr(f"member {number}", b"")

    assert "two members" in fault(file.getvalue()).detail


def zipped(inputs: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file, targets = io.BytesIO(), io.BytesIO()
    np.save(targets, TARGETS)
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("inputs.npy", inputs)
        archive.writestr("targets.npy", targets.getvalue())
    return file.getvalue()
