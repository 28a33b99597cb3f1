"""What a notebook shows of jobs, and histories as data frames."""

import base64
import builtins
import re
from typing import Any

import numpy as np
import pytest

from tests.needs import PANDAS, needs
from tests.stub_server import (
    KEY,
    ReceivedRequest,
    StubResponse,
    job_document,
    problem_response,
    running_stub,
)
from tickforge_client import Client, History, Job, JobList, MissingPackage, Sparse
from tickforge_client.job import AsyncJob
from tickforge_client.transport import BlockingTransport

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HISTORY = History(
    "job_a",
    np.array([1, 2, 3]),
    {
        "loss": np.array([0.5, np.nan, np.inf]),
        "val_loss": Sparse(np.array([0, 2]), np.array([0.25, 0.125])),
        "state": Sparse(np.array([2]), ["00ff"]),
    },
    3,
    True,
)


@needs(PANDAS)
def test_a_history_is_a_frame_with_a_row_a_tick_and_gaps_where_nothing_was_measured() -> None:
    frame = HISTORY.to_pandas()
    assert frame.index.name == "tick" and frame.index.tolist() == [0, 1, 2, 3]
    assert frame["loss"].loc[1] == 0.5 and frame["loss"].loc[3] == np.inf
    assert frame["loss"].isna().tolist() == [True, False, True, False]
    assert frame["val_loss"].dropna().to_dict() == {0: 0.25, 2: 0.125}
    assert frame["state"].loc[2] == "00ff"


def test_without_pandas_a_frame_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackage, match=r"pip install 'tickforge-client\[pandas\]'"):
        HISTORY.to_pandas()


QUEUED = {**job_document(), "kind": "train", "status": "queued", "tick": 0}


def answer(request: ReceivedRequest) -> StubResponse:
    if request.path.endswith("curve.svg"):
        return StubResponse(body=SVG)
    name = "<b>\x1b[2J&" if request.path.endswith("evil") else "digits"
    job_id = request.path.rpartition("/")[2]
    return StubResponse(body={**job_document(tick=7, id=job_id), "kind": "train", "name": name})


def test_a_job_is_html_with_its_curve_as_an_image_and_no_text_becomes_markup() -> None:
    with running_stub(answer) as server, Client(server.url, KEY) as client:
        job = client.job("evil")
        shown = job._repr_html_()
        of_loop = AsyncJob(job.session, job.fields)._repr_html_()
    (image,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown)
    assert base64.b64decode(image) == SVG and "<script" not in shown
    assert "&lt;b&gt;" in shown and "\x1b" not in shown and "tick 7" in shown
    assert of_loop == shown, "also where nothing can be awaited"


def test_a_list_of_jobs_is_a_table_whose_first_jobs_have_curves() -> None:
    with running_stub(answer) as server, Client(server.url, KEY) as client:
        jobs = JobList([client.job("a")] * 101)
        shown = jobs._repr_html_()
    assert (shown.count("<tr>"), shown.count("<img")) == (101, 20) and "and 1 more" in shown


def test_a_job_that_may_have_gone_on_is_shown_as_it_is_now() -> None:
    """Its fields are fetched again with the curve; those of an ended job are not."""
    answers = [StubResponse(body={**QUEUED, "id": "job_a"})]

    def rule(request: ReceivedRequest) -> StubResponse:
        return StubResponse(body=SVG) if "curve" in request.path else answers[-1]

    with running_stub(rule) as server, Client(server.url, KEY) as client:
        job = client.job("job_a")
        assert "<img" not in job._repr_html_()
        ended = {**QUEUED, "id": "job_a", "status": "succeeded", "tick": 7}
        answers.append(StubResponse(body=ended))
        shown = job._repr_html_()
        assert "succeeded" in shown and "<img" in shown and job.status == "succeeded"
        server.requests.clear()
        assert job._repr_html_() == shown
        assert server.request_lines() == ["GET /v1/jobs/job_a/curve.svg"]


def test_a_job_that_is_gone_is_shown_as_last_fetched_with_the_reason() -> None:
    answers = [StubResponse(body={**QUEUED, "tick": 7}), problem_response(404, title="No such job")]
    with running_stub(answers) as server, Client(server.url, KEY) as client:
        shown = client.job("job_a")._repr_html_()
    assert "tick 7" in shown and "(as last fetched: No such job (404))" in shown


def test_a_service_that_is_away_is_asked_once_for_all_that_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickforge_client.http.FIRST_CONTACT_RETRY_SECONDS", 0.0)
    with running_stub(answer) as server, Client(server.url, KEY) as client:
        fields = client.job("a").fields
    job, tried = Job(Client(server.url, KEY).session, fields), list[str]()
    shown = job._repr_html_()
    assert "tick 7" in shown and "(as last fetched: no answer from" in shown
    assert "curve" not in shown and "curve" not in Job(job.session, QUEUED)._repr_html_()
    send = BlockingTransport.send

    async def count(self: Any, request: Any, *, stream: bool) -> Any:
        tried.append(request.url.path)
        return await send(self, request, stream=stream)

    monkeypatch.setattr(BlockingTransport, "send", count)
    assert JobList([job] * 30)._repr_html_().count("(no curve: no answer from") == 20
    assert len(tried) == 1
