"""Uploads of every format that make a reader work as much as their size allows.

Each is a function of a size n: the bytes of its body grow with n. None is larger than it says.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.datasets import npz_of, parquet_of

CSV, JSONL, TEXT, NPZ = "text/csv", "application/x-ndjson", "text/plain", "application/x-npz"
PARQUET, GZIP, FORM = "application/vnd.apache.parquet", "gzip", "multipart/form-data"
MODULUS = 2**61 - 1  # of Python's hashes of numbers
BOUNDARY = "lines"


def table(names: Any, rows: Any) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in [names, *rows]).encode()


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def equal_hashes(n: int) -> list[int]:
    """Return whole numbers of the same hash."""
    return [at * MODULUS for at in range(n)]


def equal_float_hashes(n: int) -> list[float]:
    """Return floats of few hashes: powers of two, 61 exponents apart, that fit float32."""
    return [float(at % 997 + 1) * 2.0 ** (61 * (at // 997 % 3) - 61) for at in range(n)]


def archive_of(n: int) -> bytes:
    file = io.BytesIO(npz_of(inputs=np.ones((3, 2)), targets=np.arange(3)))
    with zipfile.ZipFile(file, "a") as archive:
        for at in range(n):
            archive.writestr(f"{at}", b"")
    return file.getvalue()


def form_of(data: bytes, before: bytes = b"", heads: bytes = b"") -> bytes:
    head = b'Content-Disposition: form-data; name="f"; filename="x.csv"\r\n'
    edge = b"--" + BOUNDARY.encode()
    return before + edge + b"\r\n" + head + heads + b"\r\n" + data + b"\r\n" + edge + b"--\r\n"


def words(n: int) -> list[str]:
    return [f"w{at}" for at in range(n)]


#: name -> type, a size at which a reader takes some 20 ms, and the body of a size
UPLOADS: dict[str, tuple[str, int, Callable[[int], bytes]]] = {
    "csv rows": (CSV, 20_000, lambda n: table("abc", ((at, -at, at / 7) for at in range(n)))),
    "csv columns": (CSV, 2500, lambda n: table(words(n), [range(n)] * 2)),
    "csv bad rows": (CSV, 20_000, lambda n: b"a,b\n" + b"1\n" * n),
    "csv blank rows": (CSV, 100_000, lambda n: b"a,b\n1,2\n" + b"\n" * n + b"3,4"),
    "csv a long header above bad rows": (
        CSV, 50_000, lambda n: b"a;b," * n + b"c\n" + b"1," * n + b"1\n" + b"2\n" * 99,
    ),
    "csv many names that are alike": (CSV, 100_000, lambda n: b"a," * n + b"a\n1"),
    "csv classes of many columns": (
        CSV, 100, lambda n: table(words(100), [[f"{at}x{row}" for at in range(100)]
                                              for row in range(n)]),
    ),
    "csv texts": (CSV, 20_000, lambda n: table("a", [[word] for word in words(n)])),
    "csv quotes": (CSV, 20_000, lambda n: b"a\n" + b'"' + b'""' * n + b'"\n1'),
    "csv an open quote": (CSV, 100_000, lambda n: b'a\n"' + b'a""' * n),
    "csv quoted cells": (CSV, 5_000, lambda n: b"a,b\n" + b'"1","x ""y"""\n' * n),
    "csv no end of a line": (CSV, 400_000, lambda n: b"1" * n),
    "csv long numbers": (CSV, 200, lambda n: b"a\n" + (b"9" * 300 + b"." + b"9" * 300 + b"\n") * n),
    "csv equal hashes": (CSV, 10_000, lambda n: table("a", zip(equal_hashes(n)))),
    "csv equal hashes of floats": (CSV, 10_000, lambda n: table("a", zip(equal_float_hashes(n)))),
    "csv gaps": (
        CSV, 3000, lambda n: table(words(16), [["1" if at >> bit & 1 else "" for bit in range(16)]
                                               for at in range(n)]),
    ),
    "jsonl rows": (JSONL, 8_000, lambda n: lines(*({"a": at, "b": "x"} for at in range(n)))),
    "jsonl columns": (JSONL, 2000, lambda n: lines(*[{word: 1 for word in words(n)}] * 2)),
    "jsonl columns that later rows lack": (
        JSONL, 2400, lambda n: lines(dict.fromkeys(words(n))) + b"{}\n" * n,
    ),
    "jsonl new names": (JSONL, 20_000, lambda n: lines({"a": 1}, *({w: 1} for w in words(n)))),
    "jsonl a new name in wide rows": (
        JSONL, 1000, lambda n: lines(
            dict.fromkeys(words(n), 1), *[dict.fromkeys([*words(n), "z"], 1)] * 3
        ),
    ),
    "jsonl bad values": (JSONL, 30_000, lambda n: b'{"a":1}\n{"a":[' + b"[]," * n + b"1]}\n"),
    "jsonl deep values": (JSONL, 100_000, lambda n: b'{"a":' + b"[" * n + b"]" * n + b"}\n"),
    "jsonl whole numbers": (JSONL, 40, lambda n: (b'{"a":' + b"9" * 4300 + b"}\n") * n),
    "jsonl a long number": (JSONL, 200_000, lambda n: b'{"a":' + b"9" * n + b"}\n"),
    "jsonl vectors": (JSONL, 1500, lambda n: lines(*[{"v": list(range(n))}] * 3)),
    "jsonl a name twice": (JSONL, 30_000, lambda n: b"{" + b'"a":1,' * n + b'"a":1}\n'),
    "jsonl equal hashes": (JSONL, 3000, lambda n: lines(*({"a": k} for k in equal_hashes(n)))),
    "jsonl quotes before blanks": (JSONL, 50_000, lambda n: b'{"a":"\\"' + b'" ' * n + b'"}\n'),
    "text": (TEXT, 1_000_000, lambda n: b"a\n" * n),
    "text of many characters": (
        TEXT, 200_000, lambda n: "".join(chr(0x4E00 + at % 20_000) for at in range(n)).encode(),
    ),
    "npz rows": (NPZ, 200_000, lambda n: npz_of(inputs=np.ones((n, 2)), targets=np.arange(n) % 9)),
    "npz columns": (NPZ, 30_000, lambda n: npz_of(inputs=np.ones((9, n)), targets=np.arange(9))),
    "npz members": (NPZ, 900, archive_of),
    "npz bad values": (
        NPZ, 100_000, lambda n: npz_of(inputs=np.full((n, 2), np.nan), targets=np.arange(n)),
    ),
    "npz columns one after another": (
        NPZ, 300_000, lambda n: npz_of(
            inputs=np.asfortranarray(np.ones((n, 8), np.uint8)), targets=np.zeros(n, np.uint8)
        ),
    ),
    "npz columns one after another, packed": (
        NPZ, 300_000, lambda n: npz_of(
            True, inputs=np.asfortranarray(np.ones((n, 8), np.uint8)),
            targets=np.zeros(n, np.uint8),
        ),
    ),
    "parquet rows": (PARQUET, 20_000, lambda n: parquet_of({"a": np.arange(n) / 7})),
    "parquet columns": (
        PARQUET, 300, lambda n: parquet_of({word: [1.5, 2.5] for word in words(n)}),
    ),
    "parquet row groups": (
        PARQUET, 200, lambda n: parquet_of({"a": np.arange(n)}, row_group_size=1),
    ),
    "parquet one value": (PARQUET, 100_000, lambda n: parquet_of({"a": np.ones(n)})),
    "parquet packed pages": (
        PARQUET, 300_000, lambda n: parquet_of(
            {word: np.zeros(n, np.uint8) for word in words(4)}, use_dictionary=False,
            compression="zstd", data_page_size=1 << 26, row_group_size=1 << 26,
        ),
    ),
    "parquet texts": (PARQUET, 20_000, lambda n: parquet_of({"a": words(n)})),
    "gzip members": (GZIP, 1_000, lambda n: gzip.compress(b"") * n + gzip.compress(b"a\n1")),
    "gzip zeros after the last member": (
        GZIP, 100_000, lambda n: gzip.compress(b"a\n1") + bytes(n),
    ),
    "gzip a long name": (
        GZIP, 100_000, lambda n: b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * n + b"\0"
        + gzip.compress(b"a\n1")[10:],
    ),
    "form lines": (FORM, 300_000, lambda n: form_of(b"\r\n" * n)),
    "form half boundaries": (FORM, 100_000, lambda n: form_of(b"\r\n--line" * n)),
    "form lines before it": (FORM, 20_000, lambda n: form_of(b"a\n1", before=b"\r\n" * n)),
    "form many heads": (FORM, 2_000, lambda n: form_of(b"a\n1", heads=b"A: b\r\n" * n)),
    "form many parts": (
        FORM, 2_000, lambda n: form_of(b"a\n1").replace(b"--\r\n", b"\r\n") * n + form_of(b"1"),
    ),
}  # fmt: skip
