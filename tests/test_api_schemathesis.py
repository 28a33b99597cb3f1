"""The published document and the API held against each other, one test an operation.

schemathesis makes requests from the document alone, valid and invalid ones, the same in every run;
ids of things that exist are put into their paths, so that not all of them end as 404. All its
checks are on, except that a rule between fields, or between a request and what is stored, may
refuse what the document allows, in the words listed here. What submit and plan accept is tried
with specs of our own in test_valid_specs.py.
"""

import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from api import long_polling, sse
from api.app import ENDPOINTS, create_app
from api.etag import JSON
from api.openapi import PATH_PARAMETERS, build_document
from jobs.settings import Settings
from jobs.store.connection import Store, connect
from tests import upload_strategies
from tests.datasets import FORM, PETS, upload_new
from tests.manual_worker import ManualWorker
from tests.support import ADMIN_KEY, settings_for, small_spec

HOW = settings(
    max_examples=10, derandomize=True, deadline=None, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
#: without what each keyword of the document adds: a plan's body is that of a submission
DRAWN_ALONE = {"plan_job": settings(HOW, phases=[Phase.generate])}
SIGNED_IN = {"Authorization": f"Bearer {ADMIN_KEY}"}
ALONE = {"extra-data-sources": {"responses": False}}  # no test knows another's answers
CONFIG: dict[str, Any] = {
    "seed": 1,
    "max-stream-events": 20,
    "generation": {"with-security-parameters": False},  # every request is signed in
    "analysis": {"constants": {"enabled": False}},
    "phases": {
        "coverage": ALONE,
        "fuzzing": {**ALONE, "error-feedback": {"enabled": False}},
        "stateful": {"enabled": False},
    },
}
#: operation -> what it may say of a request that the document allows
BETWEEN = {
    "DELETE /v1/jobs": "at least one of label, .*|a next_after that such a list gave|key:value"
    "|a time as in .*",
    "GET /v1/datasets": "a next_after that such a list gave",
    "GET /v1/jobs": "a next_after that such a list gave|key:value",
    "GET /v1/jobs/{job_id}": "end, tick:N, or a condition: .*|not recorded: .*|a column .*",
    "GET /v1/jobs/{job_id}/events": "not for text/event-stream",
    "GET /v1/jobs/{job_id}/history": "not together with .*|not recorded: .*|.* form.*",
    **dict.fromkeys(
        (f"GET /v1/jobs/{{job_id}}/curve.{form}" for form in ("svg", "png", "txt")),
        "not recorded: .*|column 'state' is a digest and has no view",
    ),
    **dict.fromkeys(
        (f"GET /v1/jobs/{{job_id}}/export/{tracker}" for tracker in ("tensorboard", "wandb")),
        "not recorded: .*|column '(time|state)' is .* no metric.*",
    ),
    "POST /v1/jobs/{job_id}/links": "one of .*, and its query|[a-z]+: .*",
    "GET /v1/jobs/{job_id}/rows": "not with split|at most the job's .* ticks",
    "GET /v1/keys": "a next_after that such a list gave",
    "POST /v1/datasets": "left out for .*|tab for .*|another sign than .*|another array than .*"
    r"|\d+ fields as in the (header|first row), not \d+|at least one row below the header"
    "|not read here: .* needs pyarrow: .*|used with another body|no field beside the one file: .*",
    "POST /v1/datasets/{dataset_id}/append": ".*, as the dataset that is appended to"
    "|the columns of the dataset, in its order: .*|.*, as in the other rows of the column"
    r"|\d+ fields as in the (header|first row), not \d+|at least one row to append"
    "|a header and at least one row|used with another body|at least one character"
    "|no field beside the one file: .*",
    "POST /v1/jobs/{job_id}/checkpoints": "used with another body",
    "POST /v1/jobs/{job_id}/verify": "used with another body|0 or the tick of a checkpoint: .*"
    "|less than `to`: .*|at most the last accepted tick: .*",
    # what the members of a merge patch may be depends on the job
    "POST /v1/jobs/{job_id}/fork": ".*",
    "POST /v1/jobs/{job_id}/fork/plan": ".*",
    "POST /v1/jobs/{job_id}/extend": "used with another body|at least one of ticks, .*"
    "|more than the .*|named by the patch of a fork, .*",
    "GET /v1/webhooks": "a next_after that such a list gave",
    "GET /v1/webhooks/{webhook_id}/deliveries": "a next_after that such a list gave",
    "POST /v1/webhooks": "each once; .*|.* is no public address; .*|a port from 1 to 65535"
    "|used with another body",
    "PATCH /v1/webhooks/{webhook_id}": "each once; .*|.* is no public address; .*"
    "|a port from 1 to 65535|.* may be left out, but not null|stays empty: .*",
    "POST /v1/keys": "each scope once|used with another body",
}
OWN_STRATEGIES = {"POST /v1/jobs", "POST /v1/jobs/plan"}


class Served:
    """The WSGI app of the test that runs. Ends each answer as a server does.

    A body that came with Content-Encoding is compressed on its way; a form comes without.
    """

    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        is_form = environ.get("CONTENT_TYPE", "").startswith(FORM)
        if environ.get("HTTP_CONTENT_ENCODING") == "gzip" and is_form:
            del environ["HTTP_CONTENT_ENCODING"]
        elif environ.get("HTTP_CONTENT_ENCODING") == "gzip":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            body = gzip.compress(environ["wsgi.input"].read(length), mtime=0)
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        pieces = self.app(environ, start_response)
        try:
            return [b"".join(pieces)]
        finally:
            pieces.close()


def as_read_by_schemathesis(document: dict[str, Any]) -> dict[str, Any]:
    """Say of each event what the document says of its data, which is what generators read there."""
    for path in document["paths"].values():
        content = path.get("get", {"responses": {}})["responses"].get("200", {}).get("content", {})
        if stream := content.get(sse.EVENT_STREAM):
            data = {"type": "string", "contentMediaType": JSON, "contentSchema": stream["schema"]}
            fields = {"properties": {"data": data}, "required": ["data"]}
            content[sse.EVENT_STREAM] = {"schema": {"type": "object", **fields}}
    return document


upload_strategies.register_strategies()
SERVED = Served()
DOCUMENT = as_read_by_schemathesis(build_document(ENDPOINTS))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(CONFIG))
SCHEMA.app = SERVED
READS = {endpoint.operation_id for endpoint in ENDPOINTS if endpoint.method == "GET"}
OPERATIONS = sorted((one.operation_id for one in ENDPOINTS), key=lambda name: name not in READS)


@dataclass
class World:
    """A service with some of everything, and what its things are called."""

    app: Any
    names: dict[str, list[str]]

    def name(self, case: Any) -> None:
        """Let most paths of the right form lead to something."""
        for part, known in self.names.items():
            given = case.path_parameters.get(part)
            form = PATH_PARAMETERS[part][1].get("pattern", ".+")
            if isinstance(given, str) and re.fullmatch(form, given):
                at = zlib.crc32(given.encode()) % (len(known) + 1)
                case.path_parameters[part] = [given, *known][at]


def operation_of(case: Any) -> dict[str, Any]:
    operation: dict[str, Any] = DOCUMENT["paths"][case.operation.path][case.operation.method]
    return operation


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_polling, "MAX_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(sse, "_make_end_condition", lambda _call: lambda: True)


@pytest.fixture(scope="module")
def read_world(store_server: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The one that all operations use that change nothing; they come first."""
    return make_world(store_server, tmp_path_factory.mktemp("read"))


@pytest.fixture
def world(
    request: pytest.FixtureRequest, operation: str, store_server: str, tmp_path: Path
) -> World:
    if operation in READS:
        world: World = request.getfixturevalue("read_world")
    else:
        world = make_world(store_server, tmp_path)
    SERVED.app = world.app
    return world


def make_world(store_server: str, data: Path) -> World:
    store = connect(store_server)
    store.flushall()
    settings = settings_for(store_server, data, TICKFORGE_RATE_LIMIT="0")
    app = create_app(settings)
    return World(app, make_resources(app.test_client(), store, settings))


def make_resources(http: Any, store: Store, settings: Settings) -> dict[str, list[str]]:
    """Make jobs of every status, keys and datasets; gives their ids."""
    http.environ_base["HTTP_AUTHORIZATION"] = SIGNED_IN["Authorization"]
    jobs = []
    for ending in ("succeeded", "failed", "paused", "running", "queued"):
        spec = small_spec(record=["loss", "grad_norm"], validation={"fraction": 0.25})
        jobs.append(http.post("/v1/jobs", json=spec).json["id"])
        if ending == "queued":
            continue
        worker = ManualWorker(store, settings)
        worker.record([1.0, 0.5, float("nan")])
        worker.save()
        if ending != "running":
            worker.end(ending, stopped_by="user" if ending == "succeeded" else None)
    key = {"tenant": "other", "scopes": ["read"]}
    keys = [http.post("/v1/keys", json=key).json["id"] for _ in range(2)]
    text = upload_new(http, b"some words, and more\n", "text/plain")["id"]
    hook = {"url": "https://1.1.1.1/", "events": ["*"]}
    hooks = [http.post("/v1/webhooks", json=hook).json["id"] for _ in range(2)]
    hook_test = http.post(f"/v1/webhooks/{hooks[0]}/test").json["id"]
    return {
        "webhook_id": [*hooks, "default"],
        "message_id": [hook_test],
        "job_id": jobs,
        "key_id": keys,
        "dataset_id": [upload_new(http, PETS)["id"], text],
        "which": ["3", "latest", "final"],
        "name": ["model.safetensors", "state.json"],
    }


def accepting(case: Any) -> dict[str, str]:
    """Headers that ask for one of the forms of the answer, by turns."""
    responses = operation_of(case)["responses"]
    # 202 beside 200 says that there is nothing yet: Accept names the form of what there will be
    forms = [form for status, response in responses.items()
             for form in response.get("content", {})
             if "problem" not in form and (status != "202" or "200" not in responses)]  # fmt: skip
    at = zlib.crc32(repr(case).encode()) % (len(forms) + 1)
    return SIGNED_IN if at == 0 else {**SIGNED_IN, "Accept": forms[at - 1]}


def refused_between(case: Any, answer: Any) -> bool:
    """Whether it is one of the refusals that a document cannot foresee."""
    if answer.status_code == 412:
        return bool({"If-Match", "If-Unmodified-Since"} & set(case.headers))
    if answer.status_code not in (400, 415, 422):
        return False
    if case.operation.label in OWN_STRATEGIES:
        return True
    words = BETWEEN.get(case.operation.label)
    faults = json.loads(answer.content).get("errors", [])
    return bool(words and faults) and all(re.fullmatch(words, entry["detail"]) for entry in faults)


def leaves_out_the_default_optimizer(case: Any) -> bool:
    """Whether an optimizer has no name: it is AdamW, though the document wants a name of each."""
    optimizer = case.body.get("optimizer") if isinstance(case.body, dict) else None
    return isinstance(optimizer, dict) and "name" not in optimizer


def answered_as_documented(case: Any, world: World) -> None:
    world.name(case)
    headers = accepting(case)
    response = case.call(headers=headers)
    off = [positive_data_acceptance] if refused_between(case, response) else []
    off += [negative_data_rejection] if leaves_out_the_default_optimizer(case) else []
    case.validate_response(
        response, headers=headers, excluded_checks=off, transport_kwargs={"headers": headers}
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_as_documented(operation: str, world: World) -> None:
    # not by SCHEMA.parametrize: that makes the cases of all operations when tests are collected
    (generated,) = get_all_tests(
        schema=SCHEMA.include(operation_id=operation),
        test_func=answered_as_documented,
        settings=DRAWN_ALONE.get(operation, HOW),
        given_kwargs={},
    )
    generated.ok()[1](world=world)
