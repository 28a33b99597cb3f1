"""Find the two arrays of a job in an NPZ file, and check what their headers say. Reads no value."""

import io
import math
import zipfile
from dataclasses import dataclass

import numpy as np

from jobs.datasets.formats.damage import refuse_damage
from jobs.datasets.formats.data_errors import BadData, DataError, data_error
from jobs.spec.profiles import ParseOptions

SUFFIX = ".npy"
ARRAY_RULE = "an array as numpy.save writes it"
MAX_HEADER_BYTES = 4096  # of an array
PREFIX_BYTES = 12  # before a header: magic, version, length
MAX_FEATURES = 65_536
MAX_LISTED_NAMES, MAX_LISTED_CHARACTERS = 20, 60
NUMERIC_KINDS = "biuf"
#: how others call the two arrays; the first that a file has is suggested
USUAL_NAMES = {
    "inputs": (
        "inputs", "input", "X", "x", "X_train", "x_train", "train_x", "train_X", "xs", "Xs",
        "features", "data", "train_data", "images", "train_images", "samples", "arr_0",
    ),
    "targets": (
        "targets", "target", "y", "Y", "y_train", "Y_train", "train_y", "ys", "labels", "label",
        "train_labels", "classes", "outputs", "output", "arr_1",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One array: its name, entry in the zip, shape and dtype."""

    name: str
    info: zipfile.ZipInfo
    header: int  # bytes before the first value
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    is_fortran: bool  # columns one after another, and more than one

    @property
    def storage(self) -> np.dtype[np.generic]:
        """The dtype of its bytes; those of a boolean may lie, and are read as numbers."""
        return np.dtype(np.uint8) if self.dtype.kind == "b" else self.dtype

    @property
    def rows(self) -> int:
        """Number of rows: the first dimension."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def is_compressed(self) -> bool:
        """Whether its bytes have to be unpacked."""
        return self.info.compress_type != zipfile.ZIP_STORED


def find_members(archive: zipfile.ZipFile, options: ParseOptions) -> dict[str, Member]:
    """Return the arrays by role (`inputs`, `targets`), their shapes checked.

    Raises BadData with what is wrong with each of them.
    """
    infos = _find_infos(archive, {"inputs": options.inputs, "targets": options.targets})
    members: dict[str, Member] = {}
    errors: list[DataError] = []
    for role, info in infos.items():
        try:
            members[role] = _read_member(archive, info)
            _check_shape(role, members[role])
        except BadData as error:
            errors += error.errors
    if errors:
        raise BadData(errors)
    _check_row_counts(members["inputs"], members["targets"])
    return members


def ignored_names(archive: zipfile.ZipFile, members: dict[str, Member]) -> list[str]:
    """Return the names of the arrays that no job reads, in the order of the file."""
    used = {member.name for member in members.values()}
    return [name for name in map(_array_name, archive.infolist()) if name not in used]


def list_names(names: list[str]) -> str:
    """Return the first of some names as a text."""
    more = len(names) - MAX_LISTED_NAMES
    listed = ", ".join(name[:MAX_LISTED_CHARACTERS] for name in names[:MAX_LISTED_NAMES])
    return (listed or "none") + (f" and {more:,} more" if more > 0 else "")


def _array_name(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(SUFFIX)


def _find_infos(archive: zipfile.ZipFile, names: dict[str, str]) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    array_names = list(map(_array_name, entries))
    available = list(dict.fromkeys(array_names))
    if any(name not in available for name in names.values()):
        raise BadData(list(_find_missing_names(names, available)))
    if names["inputs"] == names["targets"]:
        raise data_error("an array of its own for inputs and for targets", names["inputs"])
    if repeated := [name for name in names.values() if array_names.count(name) > 1]:
        raise data_error("a name that only one array has", column=repeated[0])
    info_by_name = {_array_name(info): info for info in entries}
    return {role: info_by_name[name] for role, name in names.items()}


def _find_missing_names(names: dict[str, str], available: list[str]) -> list[DataError]:
    listed = list_names(available)
    hint = _suggest(names, available)
    return [
        DataError(None, None, f"an array {name!r} for the {role}: there are {listed}{hint}", name)
        for role, name in names.items()
        if name not in available
    ]


def _suggest(names: dict[str, str], available: list[str]) -> str:
    """Return the options of the upload that would fit usual names, or which to give."""
    guesses: dict[str, str] = {}
    for role, name in names.items():
        candidates = [name, *USUAL_NAMES[role]]
        guesses[role] = next((guess for guess in candidates if guess in available), "NAME")
    options = "&".join(f"{role}={name}" for role, name in guesses.items() if name != role)
    return f"; upload with ?{options}"


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = _array_name(info)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise data_error("stored or deflated, not encrypted", column=name)
    with refuse_damage(ARRAY_RULE, column=name), archive.open(info) as stream:
        start = io.BytesIO(stream.read(PREFIX_BYTES + MAX_HEADER_BYTES))
        shape, is_fortran, dtype, header = _read_header(start, name)
    _check_dtype(dtype, name)
    is_fortran = is_fortran and sum(length > 1 for length in shape) > 1
    member = Member(name, info, header, shape, dtype, is_fortran)
    if header + dtype.itemsize * math.prod(shape) != info.file_size or min(shape, default=0) < 0:
        raise data_error(f"as many bytes as its shape {shape} says", info.file_size, column=name)
    return member


def _read_header(
    stream: io.BytesIO, name: str
) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Return shape, whether it is in Fortran order, dtype, and the header's length in bytes.

    The stream has the first bytes of an array alone: numpy reads a header of any length that there
    is before it looks at the length.
    """
    npy_format = np.lib.format
    header_readers = {
        (1, 0): npy_format.read_array_header_1_0,
        (2, 0): npy_format.read_array_header_2_0,
    }
    version = npy_format.read_magic(stream)
    if version not in header_readers:
        raise data_error(f"{ARRAY_RULE}: its version is {version}", column=name)
    shape, is_fortran, dtype = header_readers[version](stream, max_header_size=MAX_HEADER_BYTES)
    return shape, is_fortran, dtype, stream.tell()


def _check_dtype(dtype: np.dtype[np.generic], name: str) -> None:
    if dtype.kind in NUMERIC_KINDS and dtype.itemsize <= 8 and dtype.subdtype is None:
        return
    rule = "an array of integers, floats or booleans of at most 64 bits"
    if dtype.kind in "USO":
        rule += "; numpy.unique(texts, return_inverse=True) numbers texts"
    raise data_error(rule, str(dtype), column=name)


def _check_shape(role: str, member: Member) -> None:
    shape, name = list(member.shape), member.name
    if not shape:
        raise data_error("an array of rows, not a single number (no dimension)", shape, column=name)
    if role == "inputs" and len(shape) != 2:
        width = f"reshape({member.rows}, -1)" if len(shape) > 2 else "reshape(-1, 1)"
        raise data_error(f"inputs [rows, features]: {name}.{width} has that", shape, column=name)
    if len(shape) > 2:
        raise data_error("targets [rows] or [rows, outputs]", shape, column=name)
    if len(shape) == 2 and not 1 <= shape[1] <= MAX_FEATURES:
        raise data_error(f"rows of 1 to {MAX_FEATURES:,} numbers", shape, column=name)


def _check_row_counts(inputs: Member, targets: Member) -> None:
    if inputs.rows != targets.rows or inputs.rows < 1:
        shapes = [list(inputs.shape), list(targets.shape)]
        raise data_error("one target a row, and at least one row", shapes)
