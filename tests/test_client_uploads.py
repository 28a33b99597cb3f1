"""Files that people have, sent by the command, the Python client and curl to a real server."""

import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.api_process import running_api
from tests.datasets import CSV, JSONL, NPZ, PETS, TSV, npz_of
from tests.needs import needs
from tests.stub_server import LOST_RESPONSE, StubResponse, running_stub
from tests.support import ADMIN_KEY, ROOT
from tickforge_client import Client, InvalidRequest
from tickforge_client.cli import tickforge
from tickforge_client.uploads import MEDIA_TYPES, FileBody, media_type_of

ANSWER = StubResponse(201, {"id": "ds_1", "name": "", "type": CSV})
NOTES = [
    {"code": "missing", "column": "age", "detail": "3 cells are missing, the first in row 2"},
    {"code": "one_column", "column": None, "detail": "looks like \x1b[1msemicolons"},
]


@pytest.fixture(scope="module")
def url(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("data")
    with running_api(empty_store, data, TICKFORGE_API_PROCESSES="1") as http:
        yield str(http.base_url).rstrip("/")


def run_upload(url: str, *words: str, stdin: bytes = b"") -> Result:
    common = ["--url", url, "--key", ADMIN_KEY, "datasets", "upload"]
    return CliRunner().invoke(tickforge, [*common, *words], input=stdin)


def uploaded(url: str, *words: str, stdin: bytes = b"") -> dict[str, Any]:
    """Run the command with --json; return the dataset."""
    result = run_upload(url, *words, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    dataset: dict[str, Any] = json.loads(result.stdout)
    return dataset


def test_every_suffix_has_its_type_gzipped_or_not() -> None:
    for suffix, media_type in MEDIA_TYPES.items():
        for name in (f"x{suffix}", f"X{suffix.upper()}", f"x.y{suffix}.gz", f"x{suffix}.GZ"):
            assert media_type_of(Path(name)) == media_type


def test_the_command_takes_the_files_that_people_have(url: str, tmp_path: Path) -> None:
    tabbed = PETS.replace(b",", b"\t")
    arrays = npz_of(inputs=np.zeros((3, 2)), targets=np.array([0, 1, 0]))
    kinds = {}
    for name, data in (
        ("pets.data", PETS),
        ("pets.tsv", tabbed),
        ("pets.csv.gz", gzip.compress(PETS)),
        ("pets.tsv.gz", gzip.compress(tabbed)),
        ("unpacked.csv.gz", PETS),
        ("zipped.csv", gzip.compress(PETS)),
        ("rows.jsonl.gz", gzip.compress(b'{"a": 1}\n')),
        ("arrays.npz", arrays),
    ):
        (tmp_path / name).write_bytes(data)
        kinds[name] = uploaded(url, str(tmp_path / name))

    plain = {kinds[name]["id"] for name in kinds if "csv" in name or "data" in name}
    assert len(plain) == 1
    assert kinds["pets.tsv"]["id"] == kinds["pets.tsv.gz"]["id"]
    assert (kinds["pets.tsv"]["type"], kinds["pets.tsv"]["delimiter"]) == (CSV, "tab")
    assert (kinds["rows.jsonl.gz"]["type"], kinds["arrays.npz"]["type"]) == (JSONL, NPZ)


def test_the_command_reads_standard_input(url: str, tmp_path: Path) -> None:
    table = PETS + b"2,white,3,dog\n"
    first = uploaded(url, "-", "--type", "csv", "--name", "piped", stdin=table)

    assert (first["name"], first["rows"]) == ("piped", 7)
    zipped = uploaded(url, "-", "--type", "csv", stdin=gzip.compress(table))
    tabbed = uploaded(url, "-", "--type", "tsv", stdin=table.replace(b",", b"\t"))
    assert (zipped["id"], tabbed["delimiter"]) == (first["id"], "tab")
    untyped = run_upload(url, "-", stdin=PETS)
    assert untyped.exit_code == 2 and "--type" in untyped.output


def test_standard_input_that_cannot_be_copied_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    result = run_upload("http://127.0.0.1:9", "-", "--type", "csv", stdin=PETS)

    assert result.exit_code == 1 and "standard input" in result.stderr, result.output


def test_standard_input_of_a_real_pipe_is_read(url: str) -> None:
    words = ["--url", url, "--key", ADMIN_KEY, "datasets", "upload", "-", "--type", "csv"]
    command = [sys.executable, "-m", "tickforge_client", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(command, input=PETS, capture_output=True, env=env, check=False)

    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"ds_")


def test_every_option_of_the_command_reaches_the_server(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(PETS)
    with running_stub([ANSWER]) as server:
        words = (
            "--name n --delimiter space --header absent --decimal comma --thousands point"
            " --missing -999 --missing none --inputs X --targets y"
        )
        result = run_upload(server.url, str(tmp_path / "x.csv"), *words.split())
        run_upload(server.url, str(tmp_path / "x.csv"))

    assert result.exit_code == 0, result.output
    full, plain = (request.query for request in server.requests)
    assert full == {
        "name": ["n"], "delimiter": ["space"], "header": ["absent"], "decimal": ["comma"],
        "thousands": ["point"], "missing": ["-999", "none"], "inputs": ["X"], "targets": ["y"],
    }  # fmt: skip
    assert plain == {"name": ["x.csv"]}


def test_the_python_client_has_the_options_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(PETS)
    with running_stub([ANSWER]) as server, Client(server.url, ADMIN_KEY) as client:
        client.upload(tmp_path / "x.csv", header="absent", missing=["a", "b"], decimal="comma")

    assert server.requests[0].query == {
        "name": ["x.csv"], "header": ["absent"], "missing": ["a", "b"], "decimal": ["comma"],
    }  # fmt: skip


def test_an_option_that_a_file_does_not_have_is_told_by_name(url: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"abc")

    result = run_upload(url, str(tmp_path / "x.txt"), "--header", "absent", "--decimal", "comma")

    assert isinstance(result.exception, InvalidRequest)
    assert "header = " in str(result.exception) and "decimal = " in str(result.exception)
    with Client(url, ADMIN_KEY) as client, pytest.raises(InvalidRequest, match="thousands"):
        client.upload(tmp_path / "x.txt", thousands="comma")


def test_notes_are_told_beside_the_id_and_are_fields_in_json(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(PETS)
    answer = StubResponse(201, {"id": "ds_1", "notes": NOTES})
    with running_stub([answer]) as server, Client(server.url, ADMIN_KEY) as client:
        text = run_upload(server.url, str(tmp_path / "x.csv"))
        document = uploaded(server.url, str(tmp_path / "x.csv"))
        dataset = client.upload(tmp_path / "x.csv")

    assert text.stdout == "ds_1\n"
    assert text.stderr.splitlines() == [
        "note: column age: 3 cells are missing, the first in row 2",
        "note: looks like �[1msemicolons",
    ]
    assert document["notes"] == NOTES == dataset.notes


def test_a_gzipped_file_is_sent_as_it_is_and_again_after_a_lost_answer(tmp_path: Path) -> None:
    zipped = gzip.compress(PETS)
    (tmp_path / "x.csv.gz").write_bytes(zipped)
    sent: list[int] = []
    with (
        running_stub([LOST_RESPONSE, ANSWER]) as server,
        Client(server.url, ADMIN_KEY, sleep=lambda _seconds: None) as client,
    ):
        client.upload(tmp_path / "x.csv.gz", on_bytes=sent.append)

    first, second = server.requests
    assert first.body == second.body == zipped
    assert sent == [len(zipped)] * 2
    for request in (first, second):
        assert request.headers["Content-Encoding"] == "gzip"
        assert request.headers["Content-Type"] == CSV
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_a_plain_file_has_no_encoding(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\x1f")

    assert not FileBody(tmp_path / "x.csv").is_gzip


def curl(url: str, *words: str) -> tuple[int, dict[str, Any]]:
    """POST by curl; return status and answer."""
    command = ["curl", "-s", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {ADMIN_KEY}"]
    done = subprocess.run([*command, *words, url], capture_output=True, text=True, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


@needs("curl")
def test_the_lines_for_curl_are_true(url: str, tmp_path: Path) -> None:
    file, zipped, tabbed = (tmp_path / f"x.{suffix}" for suffix in ("csv", "csv.gz", "tsv"))
    table = PETS + b"1,black,2,cat\n"
    file.write_bytes(table)
    zipped.write_bytes(gzip.compress(table))
    tabbed.write_bytes(table.replace(b",", b"\t"))
    place = f"{url}/v1/datasets"

    status, dataset = curl(place, "-F", f"file=@{file}")
    assert (status, dataset["name"], dataset["rows"]) == (201, "x.csv", 7)
    kind = ("-H", f"Content-Type: {CSV}")
    for words in (
        (*kind, "--data-binary", f"@{file}"),
        (*kind, "-H", "Content-Encoding: gzip", "--data-binary", f"@{zipped}"),
        ("-F", f"file=@{zipped}"),
        ("-F", f"data=@{file};type={CSV}"),
    ):
        status, again = curl(place, *words)
        assert (status, again["id"]) == (200, dataset["id"]), words
    status, by_tabs = curl(place, "-F", f"file=@{tabbed}")
    assert (status, by_tabs["delimiter"]) == (201, "tab")
    status, raw = curl(place, "-H", f"Content-Type: {TSV}", "--data-binary", f"@{tabbed}")
    assert (status, raw["id"]) == (200, by_tabs["id"])


@needs("curl")
def test_a_large_form_is_the_same_file_as_a_raw_body(url: str, tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).random((60_000, 5))
    text = io.StringIO()
    np.savetxt(text, numbers, delimiter=",", header="a,b,c,d,e", comments="", newline="\r\n")
    file = tmp_path / "large.csv"
    file.write_text(text.getvalue(), newline="")

    status, dataset = curl(f"{url}/v1/datasets", "-F", f"file=@{file}")

    assert (status, dataset["bytes"]) == (201, file.stat().st_size)
    with Client(url, ADMIN_KEY) as client:
        assert client.upload(file).id == dataset["id"]


def test_the_command_appends_and_tells_what_does_not_fit(url: str, tmp_path: Path) -> None:
    (tmp_path / "first.tsv").write_bytes(b"a\tb\n1\tx\n")
    (tmp_path / "more.tsv").write_bytes(b"a\tb\n2\ty\n")
    (tmp_path / "wrong.tsv").write_bytes(b"a\tb\nthree\ty\n")
    parent = uploaded(url, str(tmp_path / "first.tsv"))

    def append(file: str, stdin: bytes = b"") -> Result:
        command = ["datasets", "append", parent["id"], file, "--name", "both"]
        common = ["--url", url, "--key", ADMIN_KEY]
        return CliRunner().invoke(tickforge, [*common, *command], input=stdin)

    done, refused = append(str(tmp_path / "more.tsv")), append(str(tmp_path / "wrong.tsv"))
    piped = append("-", (tmp_path / "more.tsv").read_bytes())
    assert piped.stdout == done.stdout, "standard input has the dataset's own type"
    with Client(url, ADMIN_KEY) as client:
        both = client.dataset(done.stdout.strip())
        assert both.fields["parent"] == parent["id"] and both.name == "both"
        assert [row["a"] for row in both.rows()] == [1, 2]
    assert refused.exit_code != 0 and "three" in str(refused.exception)
