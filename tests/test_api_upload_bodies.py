"""Bodies of uploads beside the plain one: gzip'd, and forms with one file."""

import dataclasses
import gzip
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.errors import Problem
from api.gzip_body import DECODED_PIECE_BYTES, decode_gzip
from api.multipart_body import read_file_part
from jobs.settings import Settings
from tests.datasets import CSV, FORM, JSONL, PETS, TEXT, files_of, upload, upload_new
from tests.support import ADMIN_KEY

BOUNDARY = "----lines-between-parts"
OCTETS = "application/octet-stream"


def form_of(*parts: tuple[str, bytes], end: str = "--") -> bytes:
    """Spell a form: the head of each part without its Content-Disposition's first words."""
    lines = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return lines + f"--{BOUNDARY}{end}\r\n".encode()


def file_part(data: bytes, filename: str = "x.csv", kind: str = OCTETS) -> tuple[str, bytes]:
    return f'name="file"; filename="{filename}"\r\nContent-Type: {kind}', data


def send_form(client: Any, body: bytes, **query: str) -> Any:
    return upload(client, body, f"{FORM}; boundary={BOUNDARY}", **query)


def send_gzip(client: Any, body: bytes, kind: str = CSV, encoding: str = "gzip") -> Any:
    headers = {"Content-Encoding": encoding}
    return client.post("/v1/datasets", data=body, content_type=kind, headers=headers)


def test_a_gzipped_file_is_the_dataset_of_its_decoded_bytes(client: Any) -> None:
    plain = upload_new(client, PETS)

    zipped = send_gzip(client, gzip.compress(PETS))

    assert (zipped.status_code, zipped.json) == (200, plain)
    assert client.get(plain["links"]["content"]).data == PETS


def test_gzip_members_follow_each_other_and_zeros_may_follow_them(client: Any) -> None:
    members = gzip.compress(PETS[:50]) + gzip.compress(b"") + gzip.compress(PETS[50:]) + bytes(99)

    assert send_gzip(client, members, encoding="x-gzip").json["bytes"] == len(PETS)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda zipped: zipped[:-1], "cut short"),
        (lambda zipped: zipped[:30], "cut short"),
        (lambda zipped: b"", "cut short"),
        (lambda zipped: PETS, "not gzip"),
        (lambda zipped: zipped + b"more", "not gzip"),
        (lambda zipped: zipped[:-6] + b"\0\0" + zipped[-4:], "not gzip"),
        (lambda zipped: zipped[:20] + b"\xff" * 9 + zipped[29:], "not gzip"),
    ],
)
def test_damaged_gzip_is_400_and_leaves_nothing(
    client: Any, settings: Settings, damage: Any, rule: str
) -> None:
    response = send_gzip(client, damage(gzip.compress(PETS, mtime=0)))

    assert response.status_code == 400 and rule in response.json["detail"], response.json
    assert files_of(settings.artifacts) == []


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_another_encoding_is_415(client: Any, encoding: str) -> None:
    response = send_gzip(client, PETS, encoding=encoding)

    assert response.status_code == 415
    assert response.json["errors"] == [
        {"header": "Content-Encoding", "detail": "gzip or x-gzip or none", "value": encoding}
    ]


def test_gzip_without_its_header_is_400_with_the_way_out(client: Any) -> None:
    response = upload(client, gzip.compress(PETS))

    assert response.status_code == 400
    assert "Content-Encoding: gzip" in response.json["detail"]


def test_the_limit_is_of_decoded_bytes_and_a_bomb_ends_at_it(settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, max_dataset_bytes=1_000_000))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    noise = random.Random(1).randbytes(1_000_000).hex().encode()[:1_000_000]

    assert send_gzip(client, gzip.compress(noise, 0), TEXT).status_code == 201
    assert send_gzip(client, gzip.compress(b"a" * 1_000_001), TEXT).status_code == 413
    assert send_gzip(client, gzip.compress(bytes(100_000_000)), TEXT).status_code == 413
    assert send_gzip(client, gzip.compress(b"") * 60_000, TEXT).status_code == 413
    assert len(files_of(settings.artifacts)) == 1


def test_decoded_pieces_are_small_however_much_a_byte_unfolds_to() -> None:
    bomb = gzip.compress(bytes(50_000_000))

    sizes = [len(piece) for piece in decode_gzip([bomb])]

    assert sum(sizes) == 50_000_000 and max(sizes) <= DECODED_PIECE_BYTES


def test_a_form_with_one_file_is_the_dataset_of_the_file(client: Any) -> None:
    formed = send_form(client, form_of(file_part(PETS, "pets.csv")))

    assert (formed.status_code, formed.json["name"]) == (201, "pets.csv")
    assert client.get(formed.json["links"]["content"]).data == PETS
    assert upload(client, PETS).json["id"] == formed.json["id"]


def test_a_part_without_a_known_type_has_that_of_its_names_suffix(client: Any) -> None:
    lines = {CSV: PETS, TEXT: b"abc", JSONL: b'{"a": 1}\n'}
    for filename, kind, expected in (
        ("x.jsonl", OCTETS, JSONL),
        ("X.NDJSON", "", JSONL),
        ("x.csv", "application/vnd.ms-excel", CSV),
        ("x.txt", "text/plain", TEXT),
        ("x.csv", "text/plain", TEXT),
        ("whatever", JSONL, JSONL),
        ("x.data", "application/jsonl; charset=utf-8", JSONL),
        ("x.data", OCTETS, CSV),
    ):
        response = send_form(client, form_of(file_part(lines[expected], filename, kind)))
        assert response.json["type"] == expected, (filename, kind)


def test_a_parts_type_may_say_header_absent_and_options_are_parameters(client: Any) -> None:
    tabbed = PETS.replace(b",", b"\t")
    body = form_of(file_part(PETS, kind=f"{CSV}; header=absent"))

    assert send_form(client, body).json["id"] == upload(client, PETS, header="absent").json["id"]
    assert send_form(client, form_of(file_part(tabbed)), delimiter="tab").json["delimiter"] == "tab"
    assert send_form(client, form_of(file_part(tabbed, "x.tsv"))).json["delimiter"] == "tab"
    assert send_form(client, body, header="present").status_code == 400
    assert (
        send_form(client, form_of(file_part(b"abc", "x.txt")), decimal="comma").status_code == 400
    )


def test_a_name_in_the_query_is_preferred_to_the_files(client: Any) -> None:
    body = form_of(file_part(PETS, "C:\\data\\pets.csv"))

    assert send_form(client, body, name="mine").json["name"] == "mine"
    assert send_form(client, form_of(file_part(b"a\n1\n", "/tmp/a.csv"))).json["name"] == "a.csv"


def test_a_gzipped_file_of_a_form_is_known_by_its_name(client: Any) -> None:
    zipped = gzip.compress(PETS)
    dataset = send_form(client, form_of(file_part(zipped, "x.csv.gz", "application/gzip"))).json

    assert dataset["id"] == send_form(client, form_of(file_part(zipped, "x.gz", CSV))).json["id"]
    assert dataset["bytes"] == len(PETS)
    unnamed = send_form(client, form_of(file_part(zipped, "x.csv")))
    assert unnamed.status_code == 400 and ".gz" in unnamed.json["detail"]
    assert send_form(client, form_of(file_part(PETS, "x.csv.gz"))).status_code == 400


@pytest.mark.parametrize(
    ("parts", "pointer", "rule"),
    [
        ([('name="delimiter"', b"tab"), file_part(PETS)], "/delimiter", "options are query"),
        ([file_part(PETS), ('name="header"', b"absent")], "/header", "options are query"),
        ([file_part(PETS), ('name="b"; filename="b.csv"', PETS)], "/b", "one file"),
        ([], "/file", "required"),
    ],
)
def test_a_form_with_anything_but_one_file_is_422_and_leaves_nothing(
    client: Any, settings: Settings, parts: list[tuple[str, bytes]], pointer: str, rule: str
) -> None:
    response = send_form(client, form_of(*parts))

    (error,) = response.json["errors"]
    assert (response.status_code, error["pointer"]) == (422, pointer)
    assert rule in error["detail"]
    assert files_of(settings.artifacts) == []


def test_a_field_is_named_with_its_value(client: Any) -> None:
    response = send_form(client, form_of(('name="delimiter"', b"semicolon"), file_part(PETS)))

    assert response.json["errors"][0]["value"] == "semicolon"


def test_a_file_without_a_known_type_or_suffix_is_415(client: Any) -> None:
    response = send_form(client, form_of(file_part(PETS, "x.xlsx")))

    (error,) = response.json["errors"]
    assert (response.status_code, error["header"]) == (415, "Content-Type")
    assert "x.xlsx" in error["value"] and ".parquet" in error["detail"]
    latin = form_of(file_part(PETS, kind=f"{CSV}; charset=latin-1"))
    assert send_form(client, latin).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        form_of(file_part(PETS))[:200],
        form_of(file_part(PETS), end=""),
        f"--{BOUNDARY}\r\nContent-Type: text/csv\r\n\r\na\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\nX: ".encode() + b"x" * 1_000_000 + form_of(file_part(PETS)),
        b"no boundary anywhere",
    ],
)
def test_a_malformed_form_is_400_and_leaves_nothing(
    client: Any, settings: Settings, body: bytes
) -> None:
    response = send_form(client, body)

    assert (response.status_code, response.json["type"]) == (
        400, "urn:tickforge:problem:bad-request",
    )  # fmt: skip
    assert files_of(settings.artifacts) == []


def test_a_form_needs_its_boundary_and_no_encoding(client: Any) -> None:
    unbounded = upload(client, form_of(file_part(PETS)), FORM)
    kind = f"{FORM}; boundary={BOUNDARY}"
    zipped = send_gzip(client, gzip.compress(form_of(file_part(PETS))), kind)

    assert (unbounded.status_code, unbounded.json["errors"][0]["header"]) == (400, "Content-Type")
    assert (zipped.status_code, zipped.json["errors"][0]["header"]) == (415, "Content-Encoding")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    data=st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", BOUNDARY.encode(), b"a", b"\0"]))
    .map(b"".join)
    .filter(lambda data: not re.search(f"[\r\n]--{BOUNDARY}".encode(), b"\n" + data)),
    sizes=st.lists(st.integers(1, 40), min_size=1),
)
def test_a_file_leaves_a_form_unchanged_however_it_is_cut(data: bytes, sizes: list[int]) -> None:
    body = form_of(file_part(data))
    pieces, at = [], 0
    while at < len(body):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(body[at : at + size])
        at += size

    assert b"".join(read_file_part(pieces, BOUNDARY).pieces) == data


def test_what_follows_a_form_is_bounded() -> None:
    part = read_file_part([form_of(file_part(b"a")), *[b"x" * 100_000] * 9], BOUNDARY)

    with pytest.raises(Problem, match="last boundary"):
        list(part.pieces)


def test_what_gzip_asks_for_byte_by_byte_is_not_copied() -> None:
    class CountedBytes(bytes):
        copied = 0

        def __getitem__(self, key: Any) -> Any:
            part = super().__getitem__(key)
            CountedBytes.copied += len(part)
            return CountedBytes(part)

    body = CountedBytes(gzip.compress(PETS) + bytes(20_000))

    assert b"".join(decode_gzip([body])) == PETS
    assert CountedBytes.copied == len(body)
