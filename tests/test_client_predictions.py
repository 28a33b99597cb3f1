"""Rows to predict: what is sent of them, in how many requests; what is said of a wrong one."""

import asyncio
import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.needs import PANDAS, needs
from tests.stub_server import (
    KEY,
    ReceivedRequest,
    StubResponse,
    StubServer,
    job_document,
    problem_response,
    running_stub,
)
from tickforge_client import AsyncClient, Client, InvalidInput, InvalidRequest, TickforgeError, cli
from tickforge_client.job import Job

JOB = job_document()["id"]
NEWEST_TICKS = itertools.count(1000)
OK = {"weight": 4.5, "colour": "black"}


def answer(request: ReceivedRequest) -> StubResponse:
    """Answer by the net of a running job that has made a checkpoint since the last request."""
    if request.method == "GET":
        return StubResponse(body=job_document())
    if request.method == "DELETE":
        return StubResponse(204)
    rows = request.body.get("rows") or request.body.get("inputs") or []
    wrong = [
        at for at, row in enumerate(rows) if isinstance(row, dict) and row.get("weight") == "x"
    ]
    if wrong:
        where = [f"/rows/{at}/weight" for at in wrong] + ["/rows"]
        errors = [{"pointer": pointer, "detail": "a number", "value": "x"} for pointer in where]
        return problem_response(422, title="The rows do not fit", errors=errors)
    if rows and isinstance(rows[0], dict) and "0" in rows[0]:
        errors = [{"pointer": "/rows", "detail": "inputs instead: no named columns"}]
        return problem_response(422, title="The rows do not fit", errors=errors)
    which = request.path.split("/")[5]
    tick = next(NEWEST_TICKS) if which == "latest" else int(which)
    result = {"predictions": [{"value": float(tick)}] * len(rows)}
    ended = job_document(
        kind="predict", status="succeeded", finished_at="now", tick=tick, result=result
    )
    return StubResponse(201, ended)


@pytest.fixture(scope="module")
def server() -> Iterator[StubServer]:
    with running_stub(answer) as stub:
        yield stub


@pytest.fixture
def job(server: StubServer) -> Iterator[Job]:
    with Client(server.url, KEY) as client:
        yield client.job(JOB)
        server.requests.clear()


@pytest.fixture
def predict(server: StubServer) -> Callable[..., Any]:
    """Run `tickforge predict`; gives its result."""

    def run(file: str, *options: str, stdin: bytes = b"") -> Any:
        server.requests.clear()
        words = ["--url", server.url, "--key", KEY, "predict", JOB, file, *options]
        return CliRunner().invoke(cli.tickforge, words, input=stdin, standalone_mode=False)

    return run


def sent_rows(server: StubServer) -> Any:
    (request,) = [request for request in server.requests if request.method == "POST"]
    return request.body.get("rows", request.body.get("inputs"))


def test_all_parts_of_a_list_are_predicted_by_the_net_that_predicted_the_first(
    job: Job, server: StubServer
) -> None:
    predictions = job.predict([OK] * 2500)
    assert len(predictions) == 2500 and len({one["value"] for one in predictions}) == 1
    paths = [request.path.split("/")[5] for request in server.requests if request.method == "POST"]
    assert paths == ["latest", *[str(int(predictions[0]["value"]))] * 2]


def test_the_answers_of_a_long_list_are_deleted_when_they_are_read_and_a_single_one_stays(
    job: Job, server: StubServer
) -> None:
    for count, deleted in ((2500, 3), (10, 0)):
        server.requests.clear()
        job.predict([OK] * count)
        assert [request.method for request in server.requests].count("DELETE") == deleted
        methods = [one.method for one in server.requests if one.method in ("POST", "DELETE")]
        assert methods == ["POST", "DELETE"] * deleted or methods == ["POST"]


def test_a_refused_row_has_its_number_in_the_whole_list_for_both_clients(
    job: Job, server: StubServer
) -> None:
    rows = [OK] * 2500 + [{**OK, "weight": "x"}]

    async def predict() -> None:
        async with AsyncClient(server.url, KEY) as client:
            await (await client.job(JOB)).predict(rows)

    for call in (lambda: job.predict(rows), lambda: asyncio.run(predict())):
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert [error.where for error in caught.value.errors] == ["/rows/2500/weight", "/rows"]
        assert "/rows/2500/weight" in str(caught.value)


FINITE, JSON_VALUE = "a finite number", "a number, a text, true, false"


@pytest.mark.parametrize(
    ("rows", "where", "rule"),
    [
        ([OK, {**OK, "weight": float("inf")}], "/rows/1/weight", FINITE),
        ([{**OK, "a/b": np.float32("-inf")}], "/rows/0/a~1b", FINITE),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "/inputs/1/1", FINITE),
        ([[1.0, float("inf")]], "/inputs/0/1", FINITE),
        ([{**OK, "weight": b"4.5"}], "/rows/0/weight", JSON_VALUE),
        ([{**OK, "weight": Decimal("4.5")}], "/rows/0/weight", JSON_VALUE),
        ([{**OK, "weight": {4.5}}], "/rows/0/weight", JSON_VALUE),
        ([OK] * 1200 + [{**OK, "weight": 1j}], "/rows/1200/weight", JSON_VALUE),
        ([[1.0, Decimal(2)]], "/inputs/0/1", JSON_VALUE),
        ([OK, [1.0, 2.0]], "/rows/1", "as row 0 is"),
        ([[1.0, 2.0], OK, "ab"], "/inputs/1", "as row 0 is"),
        (np.array([1.0, 2.0]), "row 0", "[row]"),
        (["ab"], "row 0", "[row]"),
        (np.float64(1.0), "rows", "a list of"),
        (OK, "rows", "a list of"),
        (b"weight", "rows", "a list of"),
        (None, "rows", "a list of"),
        ([], "rows", "at least one row"),
        (np.zeros((0, 3)), "rows", "at least one row"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named_with_its_place_and_its_rule_before_anything_is_sent(
    job: Job, server: StubServer, rows: Any, where: str, rule: str
) -> None:
    server.requests.clear()
    with pytest.raises(InvalidInput) as caught:
        job.predict(rows)
    assert isinstance(caught.value, TickforgeError)
    assert caught.value.errors[0].where == where
    assert rule in caught.value.errors[0].detail
    assert json.dumps(caught.value.document()) and where in str(caught.value)
    assert server.requests == []


def test_every_call_names_what_json_cannot_carry(job: Job, server: StubServer) -> None:
    circle: list[Any] = []
    circle.append(circle)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: job.extend(500), "/budget = 500: an object"),  # type: ignore[arg-type]
        (lambda: job.fork(3, 7), "/spec = 7: an object"),  # type: ignore[arg-type]
        (lambda: job.fork(3, {"optimizer": {"lr": float("nan")}}), "/spec/optimizer/lr = NaN"),
        (lambda: job.update(labels={"a": {1}}), "/labels/a"),
        (lambda: job.update(labels={("a", 1): "b"}), "/labels = "),
        (lambda: job.update(labels=circle), "levels of lists"),
        (lambda: job.generate(b"In the"), "/prompt"),  # type: ignore[arg-type]
    ]
    server.requests.clear()
    for call, message in calls:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert message in str(caught.value)
    assert server.requests == []
    arguments = ["fork", JOB, "--tick", "3", "--set", "optimizer.lr=NaN", "--url", server.url]
    assert cli.main([*arguments, "--key", KEY]) == cli.EXIT_USAGE


def test_numbers_of_numpy_are_sent_as_what_they_are_and_what_is_missing_as_null(
    job: Job, server: StubServer
) -> None:
    values = {
        "int": np.int64(3), "float": np.float32(0.5), "flag": np.bool_(True), "none": None,
        "nan": float("nan"), "day": np.datetime64("2026-01-02"), "nat": np.datetime64("NaT"),
        "vector": np.array([1, 2]),
    }  # fmt: skip
    job.predict([values])
    assert sent_rows(server) == [
        {"int": 3, "float": 0.5, "flag": True, "none": None, "nan": None, "day": "2026-01-02",
         "nat": None, "vector": [1, 2]}
    ]  # fmt: skip
    server.requests.clear()
    job.predict(np.array([[True, False]]))
    assert sent_rows(server) == [[1, 0]]
    assert not any(isinstance(value, bool) for value in sent_rows(server)[0])


@needs(PANDAS)
def test_a_data_frame_that_names_a_column_twice_is_refused(job: Job, server: StubServer) -> None:
    import pandas as pd

    with pytest.raises(InvalidInput, match="columns.*each name once"):
        job.predict(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]))
    assert [request.method for request in server.requests] == ["GET"]


@needs(PANDAS)
def test_a_data_frame_of_numbers_is_rows_of_inputs_for_a_net_that_knows_no_names(
    job: Job, server: StubServer
) -> None:
    import pandas as pd

    frame = pd.DataFrame([[1.5, 2, True], [0.5, 3, False]], columns=list("012"))
    assert len(job.predict(frame)) == 2
    first, second = (request.body for request in server.requests if request.method == "POST")
    assert list(first) == ["rows", "wait"] and list(second) == ["inputs", "wait"]
    assert second["inputs"] == [[1.5, 2, 1], [0.5, 3, 0]]
    for other in (frame.assign(text="a"), frame[["0"]].astype("string")):
        with pytest.raises(InvalidRequest, match="inputs instead"):
            job.predict(other)
    with pytest.raises(InvalidInput, match="/inputs/1/0"):
        job.predict(frame.assign(**{"0": [1.0, None]}))


@needs(PANDAS)
def test_what_a_data_frame_lacks_is_null_whatever_its_type(job: Job, server: StubServer) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "int": pd.array([1, None], dtype="Int64"), "float": [0.5, None],
            "text": pd.array(["a", None], dtype="string"), "class": pd.Categorical(["x", None]),
            "flag": pd.array([True, None], dtype="boolean"),
            "time": pd.to_datetime(["2026-01-02 03:04:05", None]),
        }
    )  # fmt: skip
    job.predict(frame)
    first, second = sent_rows(server)
    assert list(first.values()) == [1, 0.5, "a", "x", True, "2026-01-02T03:04:05"]
    assert set(second.values()) == {None}


TABLE = b"weight,colour\n4.5,black\n"
LINE = json.dumps(OK).encode() + b"\n"
# without the time: it would be in the names of tests, which each process must find alike
ZIPPED_TABLE, ZIPPED_LINE = (gzip.compress(text, mtime=0) for text in (TABLE, LINE))
AS_TEXT = {"weight": "4.5", "colour": "black"}


@pytest.mark.parametrize(
    ("name", "content", "options", "row"),
    [
        ("rows.csv", TABLE, [], AS_TEXT),
        ("rows.csv", b"\xef\xbb\xbf" + TABLE.replace(b"\n", b"\r\n\r\n"), [], AS_TEXT),
        ("rows.tsv", TABLE.replace(b",", b"\t"), [], AS_TEXT),
        ("rows.tsv.gz", gzip.compress(TABLE.replace(b",", b"\t"), mtime=0), [], AS_TEXT),
        ("rows.csv.gz", ZIPPED_TABLE, [], AS_TEXT),
        ("rows.csv", TABLE.replace(b",", b";"), ["--delimiter", "semicolon"], AS_TEXT),
        ("rows.data", b' 4.5 \t "a  b" \r\n', ["--delimiter", "space", "--header", "absent"],
         {"c1": "4.5", "c2": "a  b"}),
        ("rows.jsonl", LINE, [], OK),
        ("rows.jsonl", '{"a": "b\u2028c"}\r\n'.encode(), [], {"a": "b\u2028c"}),
        ("rows.json", b"[" + LINE + b"]", [], OK),
        ("rows.jsonl.gz", ZIPPED_LINE, [], OK),
        ("-", b"\xef\xbb\xbf" + TABLE, [], AS_TEXT),
        ("-", LINE, [], OK),
        ("-", ZIPPED_LINE, [], OK),
        ("-", TABLE.replace(b",", b"\t"), ["--type", "tsv"], AS_TEXT),
        ("-", b"{a\n1\n", ["--type", "csv"], {"{a": "1"}),
    ],
)  # fmt: skip
def test_predict_reads_the_files_that_upload_reads(
    predict: Callable[..., Any], server: StubServer, tmp_path: Path, name: str, content: bytes,
    options: list[str], row: dict[str, Any],
) -> None:  # fmt: skip
    (tmp_path / name).write_bytes(content)
    file = "-" if name == "-" else str(tmp_path / name)
    result = predict(file, *options, stdin=content)
    assert (result.exception, result.return_value) == (None, 0)
    assert sent_rows(server) == [row]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"weight,colour\n", "it has no rows"),
        ("rows.csv", b"", "it has no rows"),
        ("rows.json", b"[]", "it has no rows"),
        ("rows.jsonl", b"\n", "it has no rows"),
        ("rows.csv", b"a,b,a\n1,2,3\n", "the header names 'a' more than once"),
        ("rows.csv", b"a,b\n1\n", "line 2 has not as many fields"),
        ("rows.csv", b"a\n\xff\n", "not UTF-8: byte 3"),
        ("rows.csv.gz", ZIPPED_TABLE[:-9], "rows.csv.gz: "),
        ("rows.jsonl", LINE + b"{", "line 2 is not JSON"),
        ("rows.jsonl", b"1\n", "each row is an object"),
        ("rows.npz", b"PK", "predicted as a dataset"),
        ("rows.jsonl", b'{"weight": Infinity}\n', "/rows/0/weight = Infinity: a finite number"),
    ],
)  # fmt: skip
def test_a_file_without_usable_rows_is_wrong_usage_and_says_why(
    predict: Callable[..., Any], server: StubServer, tmp_path: Path, name: str, content: bytes,
    message: str,
) -> None:  # fmt: skip
    (tmp_path / name).write_bytes(content)
    result = predict(str(tmp_path / name))
    assert message in (getattr(result.exception, "message", "") or str(result.exception))
    assert not [request for request in server.requests if request.method == "POST"]
