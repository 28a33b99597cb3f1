"""What a notebook shows of jobs, and histories as data frames."""

import base64
import builtins
import re
from typing import Any

import numpy as np
import pytest

from tests.needs import PANDAS, needs
from tests.stub_server import KEY, ReceivedRequest, StubResponse, job_document, running_stub
from tickforge_client import Client, History, Job, JobList, MissingPackage, Sparse
from tickforge_client.job import AsyncJob

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


def answer(request: ReceivedRequest) -> StubResponse:
    if request.path.endswith("curve.svg"):
        return StubResponse(body=SVG)
    name = "<b>\x1b[2J&" if request.path.endswith("evil") else "digits"
    return StubResponse(body={**job_document(tick=7), "kind": "train", "name": name})


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


def test_a_curve_that_cannot_be_had_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickforge_client.http.FIRST_CONTACT_RETRY_SECONDS", 0.0)
    with running_stub(answer) as server, Client(server.url, KEY) as client:
        fields = client.job("a").fields
    gone = Job(Client(server.url, KEY).session, fields)._repr_html_()
    assert "digits" in gone and "(no curve: no answer from" in gone
    assert "curve" not in Job(client.session, {**fields, "tick": 0})._repr_html_()
