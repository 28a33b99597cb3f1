"""Conditions of a download, in the order of RFC 9110: 412, 304, then a range; of every download."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.http import http_date

from tests.manual_worker import ManualWorker

OLDER, NEWER = (http_date(datetime.now(UTC) + timedelta(days=days)) for days in (-1, 1))
OTHER, RANGE = '"other"', {"Range": "bytes=0-1"}
Make = Callable[[], str]


@pytest.fixture(params=["checkpoint", "dataset"])
def path(request: pytest.FixtureRequest, client: Any) -> str:
    """The path of a download."""
    if request.param == "dataset":
        headers = {"Content-Type": "text/csv"}
        dataset = client.post("/v1/datasets", data="x,y\n1,2\n3,4\n", headers=headers).json
        return f"/v1/datasets/{dataset['id']}/content"
    worker: ManualWorker = request.getfixturevalue("worker")
    worker.record([1.0])
    worker.save()
    return f"/v1/jobs/{worker.lease.job_id}/checkpoints/latest/files/model.safetensors"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": "TAG"}, 200),
        ({"If-Match": f"{OTHER}, TAG"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": OTHER}, 412),
        ({"If-Match": "W/TAG"}, 412),
        ({"If-Match": ""}, 412),
        ({"If-Match": OTHER, "If-None-Match": "TAG"}, 412),
        ({"If-Match": OTHER, **RANGE}, 412),
        ({"If-Match": OTHER, "If-Unmodified-Since": NEWER}, 412),
        ({"If-Match": "TAG", "If-Unmodified-Since": OLDER}, 200),
        ({"If-Match": "TAG", "If-None-Match": "TAG"}, 304),
        ({"If-Match": "TAG", **RANGE}, 206),
        ({"If-Match": "TAG", "If-Range": OTHER, **RANGE}, 200),
        ({"If-Unmodified-Since": "MADE"}, 200),
        ({"If-Unmodified-Since": NEWER}, 200),
        ({"If-Unmodified-Since": OLDER}, 412),
        ({"If-Unmodified-Since": OLDER, "If-None-Match": "TAG"}, 412),
        ({"If-Unmodified-Since": "yesterday"}, 200),
        ({"If-None-Match": "W/TAG"}, 304),
        ({"If-Modified-Since": "MADE"}, 304),
        ({"If-Modified-Since": OLDER}, 200),
        ({"If-Modified-Since": NEWER, "If-None-Match": OTHER}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Range": "MADE", **RANGE}, 200),
    ],
)
def test_the_conditions_of_a_download_are_looked_at_in_the_order_of_rfc_9110(
    client: Any, path: str, headers: dict[str, str], status: int
) -> None:
    head = client.head(path).headers
    for name, text in headers.items():
        headers = {**headers, name: text.replace("TAG", head["ETag"])}
        if text == "MADE":
            headers[name] = head["Last-Modified"]

    responses = [client.get(path, headers=headers)]
    if "Range" not in headers:  # which is of no meaning in a HEAD
        responses.append(client.head(path, headers=headers))

    assert {response.status_code for response in responses} == {status}
    if status == 412:
        name = next(name for name in ("If-Match", "If-Unmodified-Since") if name in headers)
        problem = responses[0].json
        assert problem["type"] == "urn:tickforge:problem:precondition-failed"
        assert problem["errors"][0]["header"] == name
        assert problem["errors"][0]["value"] == headers[name]
