"""Good files of every format, and how they are damaged: a function of a random generator.

Where a check sum would stop every change (zip, gzip), some are made below it: the file is packed
again around damaged contents.
"""

import contextlib
import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from tests.datasets import CSV, JSONL, NPZ, PARQUET, TEXT, TSV, csv_of, jsonl_of, npz_of, parquet_of

BOUNDARY = "edge"
MAX_BYTES = 1 << 16  # of a damaged file: slices may be repeated
LIES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**62, 2**63, 2**64 - 1)
VARINT_LIES = (b"\xff" * 9 + b"\x01", b"\x80" * 10, b"\xfe\xff\xff\xff\x0f", b"\x00", b"\xff\x7f")
#: what means something to a reader of texts
TOKENS = (
    b'"', b'""', b",", b";", b"\t", b"\n", b"\r\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xc3",
    b"\xed\xa0\x80", b"sep=;\n", b"NaN", b"1e999", b"-Infinity", b"9" * 5000, b"\\ud800", b"\\N",
    b"[" * 3000, b'{"a":' * 300, b"{}", b"[]", b"null", b"true", b'{"a":1,"a":2}', b"2024-02-30",
    b"2024-01-01T00:00:00+99:99", b"0x1p3", b"1_0", "١".encode(), b'"a":', b"-999", b"\x1b[31m",
)  # fmt: skip
HEADERS = (
    "{'descr': '<f4', 'fortran_order': True, 'shape': (8, 4)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-8, -4)}",
    f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62}, 4)}}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (8, 4)}",
    "{'descr': [('a', '<f4', (2, 2))], 'fortran_order': False, 'shape': (8,)}",
    "{'descr': '<f0', 'fortran_order': False, 'shape': ()}",
    "{'descr': '<f4', 'fortran_order': 2, 'shape': (True, 4)}",
    "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (8, 4)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (8L, 4L)}",
    "[" * 1500, "(" * 90 + ")" * 90, "-" * 3000 + "1", "{'descr': '''", "\\", "{1: 2}", "{}", "",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 4), 'more': __import__('os')}",
)  # fmt: skip
Random = random.Random


@cache
def good_files() -> dict[str, list[bytes]]:
    """Return small good files of each media type; none of Parquet without pyarrow."""
    rows = [
        {"a": at / 7, "b": f"w{at % 5}", "when": f"2024-01-{at % 28 + 1:02}"} for at in range(60)
    ]
    odd = [{"a": None if at % 3 else at, "b": 'x "y",\nz', "ä": "é世"} for at in range(20)]
    vectors = [{"v": [at, 1.5, -at], "c": at % 2 == 0, "n": 2**70} for at in range(30)]
    generator = np.random.default_rng(0)
    arrays = {
        "inputs": np.asfortranarray(generator.normal(size=(9, 3))),
        "targets": np.arange(9)[:, None],
    }
    small = {"inputs": np.arange(32, dtype="<f4").reshape(8, 4), "targets": np.arange(8) % 3}
    files = {
        CSV: [csv_of(rows), csv_of(odd), b"a,b\n1,2\n3,4", b"\xef\xbb\xbfsep=,\r\na,b\r\n1,x\r\n"],  # type: ignore[arg-type]
        TSV: [csv_of(rows).replace(b",", b"\t"), b"x\ty\n1\t2\n"],  # type: ignore[arg-type]
        JSONL: [jsonl_of(rows), jsonl_of(odd), jsonl_of(vectors)],  # type: ignore[arg-type]
        TEXT: ["Äpfel and 世界, 😀.\n".encode() * 20, b"\xef\xbb\xbfplain\n"],
        NPZ: [npz_of(packed, **named) for packed in (False, True) for named in (arrays, small)],
    }
    with contextlib.suppress(ImportError):
        files[PARQUET] = parquet_files(rows)
    return files


def parquet_files(rows: list[dict[str, object]]) -> list[bytes]:
    numbers = {"a": np.arange(300) / 3, "b": np.arange(300) % 7, "t": ["x", None, "yy"] * 100}
    return [
        parquet_of(rows), parquet_of(rows, compression="none", row_group_size=17),
        parquet_of(numbers, use_dictionary=False, compression="gzip", data_page_version="2.0"),
        parquet_of(numbers, compression="zstd", write_page_checksum=True),
        parquet_of({"v": [[1, 2], None, [3, 4]] * 9, "f": [True, None, False] * 9}),
        parquet_of(
            {"s": ["prefix one", "prefix two"] * 9}, use_dictionary=False,
            column_encoding={"s": "DELTA_BYTE_ARRAY"},
        ),
    ]  # fmt: skip


def damage(rng: Random, kind: str) -> bytes:
    """Return a damaged file of a media type."""
    data = rng.choice(good_files()[kind])
    if kind == NPZ and rng.random() < 0.5:
        data = repack_arrays(rng)
        return data if rng.random() < 0.5 else mutate(rng, data, kind)
    return mutate(rng, data, kind)


def mutate(rng: Random, data: bytes, kind: str) -> bytes:
    """Apply one to four changes."""
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        changes = [*CHANGES, insert_token] if kind in TEXTUAL else [*CHANGES, lie, lie, lie_varint]
        rng.choice(changes)(rng, damaged)
    if rng.random() < 0.05 and kind in good_files():
        other = rng.choice(good_files()[kind])
        damaged = damaged[: place(rng, damaged)] + other[place(rng, bytearray(other)) :]
    return bytes(damaged[:MAX_BYTES])


def place(rng: Random, data: bytearray) -> int:
    """Draw a place; half of all are near an end, where containers have their lists."""
    if not data:
        return 0
    from_end = rng.randrange(min(len(data), 300))
    return rng.choice([rng.randrange(len(data)), from_end, len(data) - 1 - from_end])


def flip_bit(rng: Random, data: bytearray) -> None:
    if data:
        data[place(rng, data)] ^= 1 << rng.randrange(8)


def set_bytes(rng: Random, data: bytearray) -> None:
    at = place(rng, data)
    data[at : at + 4] = rng.randbytes(rng.randrange(1, 5))


def cut(rng: Random, data: bytearray) -> None:
    at = place(rng, data)
    del data[at : at + rng.choice([1, 2, 8, 64, len(data)])]


def repeat(rng: Random, data: bytearray) -> None:
    at = place(rng, data)
    piece = data[at : at + rng.randrange(1, 200)]
    data[at:at] = piece * rng.choice([1, 1, 3, 50])


def lie(rng: Random, data: bytearray) -> None:
    at, form = place(rng, data), rng.choice(["<H", "<I", "<Q", ">I"])
    value = struct.pack(form, rng.choice(LIES) % 256 ** struct.calcsize(form))
    data[at : at + len(value)] = value


def lie_varint(rng: Random, data: bytearray) -> None:
    at = place(rng, data)
    data[at : at + 1] = rng.choice(VARINT_LIES)


def insert_token(rng: Random, data: bytearray) -> None:
    at = place(rng, data)
    data[at : at + rng.choice([0, 0, 1, 3])] = rng.choice(TOKENS)


TEXTUAL = (CSV, TSV, JSONL, TEXT)
CHANGES: list[Callable[[Random, bytearray], None]] = [flip_bit, set_bytes, cut, repeat]


def repack_arrays(rng: Random) -> bytes:
    """Return a zip with right check sums around damaged arrays, under names that may be odd."""
    file = io.BytesIO()
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(io.BytesIO(rng.choice(good_files()[NPZ]))) as good:
        members = {name: good.read(name) for name in good.namelist()}
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            if rng.random() < 0.6:
                data = rng.choice([damage_header, partial(mutate, kind=NPZ)])(rng, data)
            name, is_long = rng.choice([name] * 9 + [f"é{name}"]), rng.random() < 0.2
            with archive.open(name, "w", force_zip64=is_long) as member:
                member.write(data)
    packed = file.getvalue()
    return packed if rng.random() < 0.8 else insert_record64(rng, packed)


def damage_header(rng: Random, array: bytes) -> bytes:
    """Replace the header of an array by an odd one, or lie about its length."""
    text = rng.choice(HEADERS).encode()
    version = rng.choice([b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"])
    form = "<H" if version == b"\x01\x00" else "<I"
    length = rng.choice([len(text), len(text), *LIES]) % 256 ** struct.calcsize(form)
    return b"\x93NUMPY" + version + struct.pack(form, length) + text + array[128:]


def insert_record64(rng: Random, data: bytes) -> bytes:
    """Insert a record of 64 bits, and its locator, before a zip's last record."""
    offset = rng.choice([len(data) - 22, *LIES])
    size, start = rng.choice([100, *LIES]), rng.choice([0, *LIES])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, offset, 1)
    return data[:-22] + record + locator + data[-22:]


def wrap_gzip(rng: Random, data: bytes) -> bytes:
    """Compress a file, in members, and damage some of the result."""
    at = rng.randrange(len(data) + 1)
    packed = b"".join(gzip.compress(part, 1, mtime=0) for part in (data[:at], data[at:]))
    packed += bytes(rng.choice([0, 9]))
    return mutate(rng, packed, "gzip") if rng.random() < 0.5 else packed


def wrap_form(rng: Random, data: bytes, name: str) -> bytes:
    """Put a file into a form, and damage some of the result."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename={json.dumps(name)}\r\n'
    )
    body = head.encode() + b"\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return mutate(rng, body, "form") if rng.random() < 0.5 else body
