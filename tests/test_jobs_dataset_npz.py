"""NPZ files: profiles of valid ones, and refusals that trust nothing in the others."""

import errno
import io
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats.data_errors import BadData, DataError
from jobs.datasets.formats.npz import ROLES, Npz
from jobs.datasets.profiling import make_profiler
from jobs.spec.profiles import DatasetProfile, ParseOptions
from tests.datasets import npz_of

DATA = Path(__file__).parent / "data"
INPUTS = np.arange(12, dtype=np.float32).reshape(6, 2)
TARGETS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def profile(tmp_path: Any) -> Any:
    def make(data: bytes, max_bytes: int = 1 << 30, **options: str) -> DatasetProfile:
        (tmp_path / "file").write_bytes(data)
        profiler = make_profiler(
            "application/x-npz", ParseOptions.model_validate(options), max_bytes=max_bytes
        )
        return profiler.finish(tmp_path / "file")

    return make


@pytest.fixture
def fault(profile: Any) -> Any:
    def make(data: bytes, **arguments: Any) -> DataError:
        with pytest.raises(BadData) as caught:
            profile(data, **arguments)
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
        ({"inputs": INPUTS}, "an array 'targets' for the targets: there are inputs"),
        ({"inputs": INPUTS, "targets": TARGETS[:5]}, "one target a row"),
        ({"inputs": INPUTS[0], "targets": TARGETS}, "inputs.reshape(-1, 1)"),
        ({"inputs": np.ones((6, 3, 2)), "targets": TARGETS}, "inputs.reshape(6, -1)"),
        ({"inputs": INPUTS, "targets": np.ones((6, 3, 2))}, "targets [rows] or [rows, outputs]"),
        ({"inputs": INPUTS, "targets": np.float64(3)}, "not a single number"),
        ({"inputs": INPUTS[:0], "targets": TARGETS[:0]}, "at least one row"),
        ({"inputs": INPUTS[:, :0], "targets": TARGETS}, "rows of 1 to 65,536"),
        ({"inputs": INPUTS, "targets": np.array(["a"] * 6)}, "return_inverse"),
        ({"inputs": INPUTS, "targets": np.array([{}] * 6)}, "integers, floats or booleans"),
        ({"inputs": INPUTS.astype(np.complex64), "targets": TARGETS}, "integers, floats"),
        ({"inputs": INPUTS.astype(np.longdouble), "targets": TARGETS}, "64 bits"),
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


def test_arrays_are_refused_by_their_unpacked_size_and_not_by_how_well_they_pack(
    profile: Any, fault: Any
) -> None:
    zeros = npz_of(True, inputs=np.zeros((1 << 17, 8)), targets=np.zeros(1 << 17))
    unpacked = (1 << 17) * 9 * 8 + 2 * 128

    assert len(zeros) < unpacked / 500
    assert profile(zeros, max_bytes=unpacked).rows == 1 << 17
    error = fault(zeros, max_bytes=unpacked - 1)
    assert (error.detail, error.value) == ("arrays of at most 9,437,439 bytes unpacked", unpacked)


def test_sorted_labels_of_a_small_file_are_read(profile: Any) -> None:
    npz_profile = profile((DATA / "sorted_labels.npz").read_bytes())

    assert npz_profile.target_classes == sorted(npz_profile.target_classes)


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


def test_a_header_with_negative_lengths_is_refused(fault: Any) -> None:
    header = np.lib.format.header_data_from_array_1_0(INPUTS)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {**header, "shape": (-6, -2)})

    assert "shape" in fault(zipped(head.getvalue() + INPUTS.tobytes())).detail


def test_a_huge_list_of_members_is_refused_before_it_is_read(profile: Any, fault: Any) -> None:
    def with_members(count: int) -> bytes:
        file = io.BytesIO(npz_of(inputs=INPUTS, targets=TARGETS))
        with zipfile.ZipFile(file, "a") as archive:
            for number in range(count):
                archive.writestr(f"array {number}.npy", b"")
        return file.getvalue()

    assert profile(with_members(100)).rows == 6
    assert "262,144 bytes" in fault(with_members(5000)).detail


def test_all_that_is_wrong_with_both_arrays_is_told_at_once(profile: Any) -> None:
    with pytest.raises(BadData) as caught:
        profile(npz_of(inputs=np.float32(1), targets=np.array(["a"])))
    assert [error.column for error in caught.value.errors] == ["inputs", "targets"]

    with pytest.raises(BadData) as caught:
        profile(npz_of(a=INPUTS, b=TARGETS), inputs="X", targets="y")
    assert [error.value for error in caught.value.errors] == ["X", "y"]


@pytest.mark.parametrize(
    ("arrays", "hint"),
    [
        (("X", "y"), "?inputs=X&targets=y"),
        (("x_test", "x_train", "y_test", "y_train"), "?inputs=x_train&targets=y_train"),
        (("data", "target"), "?inputs=data&targets=target"),
        (("inputs", "labels"), "?targets=labels"),
        (("arr_0", "arr_1"), "?inputs=arr_0&targets=arr_1"),
        (("p", "q"), "?inputs=NAME&targets=NAME"),
    ],
)
def test_arrays_of_other_names_are_listed_and_suggested(
    fault: Any, arrays: tuple[str, ...], hint: str
) -> None:
    detail = fault(npz_of(**{name: INPUTS for name in arrays})).detail

    assert f"there are {', '.join(arrays)}; upload with {hint}" in detail


def test_arrays_are_read_by_the_names_of_the_options_and_others_are_ignored(profile: Any) -> None:
    data = npz_of(X=INPUTS, y=TARGETS, X_test=INPUTS[:2], names=np.array([{}]))

    npz_profile = profile(data, inputs="X", targets="y")

    assert (npz_profile.inputs.shape, npz_profile.target_classes) == ([6, 2], [0, 1, 2])
    (note,) = npz_profile.notes
    assert note.code == "ignored_arrays" and "X_test, names" in note.detail


def test_one_array_is_not_inputs_and_targets_alike(fault: Any) -> None:
    assert "of its own" in fault(npz_of(X=INPUTS), inputs="X", targets="X").detail


@pytest.mark.parametrize(
    "targets",
    [
        TARGETS.astype(np.float64), TARGETS[:, None], TARGETS.astype(np.float16)[:, None],
        np.asfortranarray(TARGETS[:, None]), TARGETS.astype(">i2"), TARGETS.astype(np.uint8),
    ],
)  # fmt: skip
def test_whole_targets_of_any_type_and_as_a_column_are_classes(profile: Any, targets: Any) -> None:
    assert profile(npz_of(inputs=INPUTS, targets=targets)).target_classes == [0, 1, 2]


def test_booleans_are_0_and_1(profile: Any) -> None:
    npz_profile = profile(npz_of(inputs=INPUTS > 3, targets=TARGETS > 0))

    assert (npz_profile.inputs.dtype, npz_profile.target_classes) == ("|b1", [0, 1])
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        lying, np.lib.format.header_data_from_array_1_0(INPUTS > 3)
    )
    data = zipped(lying.getvalue() + bytes(range(12)))
    assert read_all(data)[0].tolist() == [[False, True]] + [[True, True]] * 5


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(1, 5), (7, 1), (3000, 40), (70_000, 9)])
def test_arrays_in_fortran_order_have_the_values_of_others(
    profile: Any, compressed: bool, shape: tuple[int, int]
) -> None:
    values = np.random.default_rng(5).standard_normal(shape)
    data = npz_of(compressed, inputs=np.asfortranarray(values), targets=np.asfortranarray(values))

    inputs, targets = read_all(data)

    assert profile(data).inputs.shape == list(shape)
    assert inputs.tobytes() == values.tobytes()
    assert targets.reshape(shape).tobytes() == values.tobytes()
    with open_npz(data) as npz:
        first, piece = next(npz.read_pieces("inputs", after=shape[0] // 2))
    assert first == shape[0] // 2
    assert np.array_equal(piece, values[first : first + len(piece)])


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_array_in_fortran_order_is_refused(fault: Any, compressed: bool) -> None:
    values = np.asfortranarray(np.random.default_rng(1).random((500, 2)))
    torn = bytearray(npz_of(compressed, inputs=values, targets=np.zeros(500)))
    torn[300:310] = bytes(10)

    assert "unpacked" in fault(bytes(torn)).detail


def test_an_array_in_fortran_order_is_not_unpacked_onto_a_full_disk(
    profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = npz_of(True, inputs=np.asfortranarray(INPUTS), targets=TARGETS)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=100))

    with pytest.raises(OSError) as caught:
        profile(data)
    assert caught.value.errno == errno.ENOSPC


def test_targets_have_mean_and_deviation(profile: Any) -> None:
    targets = 1e6 + np.random.default_rng(2).standard_normal((100_000, 3)) * [1, 10, 0]

    npz_profile = profile(npz_of(inputs=np.ones((100_000, 1)), targets=targets))

    assert np.allclose(npz_profile.target_mean, targets.mean(axis=0), rtol=1e-12)
    assert np.allclose(npz_profile.target_deviation, targets.std(axis=0), rtol=1e-9, atol=1e-9)


@contextmanager
def open_npz(data: bytes) -> Iterator[Npz]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        with Npz(file, ParseOptions()) as npz:
            yield npz


def read_all(data: bytes) -> list[Any]:
    with open_npz(data) as npz:
        return [np.concatenate([values for _, values in npz.read_pieces(role)]) for role in ROLES]


def zipped(inputs: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file, targets = io.BytesIO(), io.BytesIO()
    np.save(targets, TARGETS)
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("inputs.npy", inputs)
        archive.writestr("targets.npy", targets.getvalue())
    return file.getvalue()
