"""No JSON body costs more to check than was sent, in time and memory, whatever is wrong in it.

Bodies of all endpoints get fillers in the place of their values, at two sizes.
"""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask, request

from api.app import ENDPOINTS
from api.errors import Problem, to_problem
from api.json_body import MAX_BODY_BYTES, body_digest, parse_model, read_json
from api.shown_values import MAX_ERRORS_BYTES
from api.upload_body import BODY_SECONDS
from jobs.spec.base import InvalidSpec
from jobs.spec.job_spec import JobSpecRequest
from jobs.spec.reading import read_spec
from tests.costs import MAX_RATIO, frozen_heap, growth, peak_bytes
from tests.support import small_spec

SIZE = 20 << 10  # bytes of a filler, and twice as many
WHOLE = (1 << 20) - (2 << 10)
EXTRA_MEMORY = 64 << 20
HASH_MODULUS = 2**61 - 1  # of Python: its multiples have equal hashes
APP = Flask("bodies")
APP.config |= {"MAX_CONTENT_LENGTH": MAX_BODY_BYTES + 1, BODY_SECONDS: 30.0}
HELD = "held in place of the filler"

ROWS = {"source": "inline", "inputs": [[1.0]], "targets": [[1.0]]}
COLUMNS = {
    "source": "dataset", "id": "ds_" + "a" * 26, "target": "t", "features": ["a"],
    "exclude": ["b"], "types": {"a": "number"}, "missing": "drop", "window": 3,
}  # fmt: skip
WHOLE_SPEC = small_spec(
    name="n", labels={"team": "vision"}, notes="", data=ROWS, objective="mse",
    optimizer={"name": "adamw", "lr": 0.1, "betas": [0.9, 0.99]},
    schedule={"name": "cosine", "warmup_ticks": 1},
    stop={
        "patience": {"metric": "loss", "ticks": 5}, "target": {"metric": "loss", "below": 1.0},
        "converged": {"metric": "loss", "window": 5, "rel_change": 0.1}, "check_every": 5,
    },
    batch_size=1, micro_batches=1, clip_norm=1.0, validation={"fraction": 0.5, "split": "random"},
    test={"fraction": 0.1}, checkpoint={"every_ticks": 5}, seed=1, compute={"threads": 1},
    priority=1, record=["loss"], notify=["https://example.com/h"], notify_when=["loss<0.1"],
)  # fmt: skip
PLAN = "POST /v1/jobs/plan"
#: endpoint -> a whole body of it; `test_every_body_has_its_case` keeps them complete
BODIES: dict[str, Any] = {
    "POST /v1/jobs": WHOLE_SPEC,
    PLAN: {**WHOLE_SPEC, "data": COLUMNS, "validation": {"id": COLUMNS["id"]}},
    "PATCH /v1/jobs/<job_id>": {"name": "n", "labels": {"a": "b"}, "notes": "", "priority": 1},
    "POST /v1/jobs/<job_id>/verify": {"from": 0, "to": 5},
    "POST /v1/jobs/<job_id>/checkpoints": {"name": "n", "pinned": True},
    "PATCH /v1/jobs/<job_id>/checkpoints/<which>": {"name": "n", "pinned": True},
    "PATCH /v1/tenants/<tenant_name>": {"quotas": {"queued": 1}, "retention": {"keep_last": 1}},
    "POST /v1/jobs/<job_id>/checkpoints/<which>/predict": {
        "rows": [{"a": 1.0}],
        "inputs": [[1.0]],
        "prompt": "p",
        "stop": ["s"],
        "seed": 1,
    },
    "POST /v1/jobs/<job_id>/checkpoints/<which>/evaluate": {"dataset": "ds_" + "a" * 26},
    "POST /v1/jobs/<job_id>/fork": {"tick": 1, "spec": {"seed": 1}},
    "POST /v1/jobs/<job_id>/fork/plan": {"tick": 1, "spec": {"seed": 1}},
    "POST /v1/jobs/<job_id>/extend": {"budget": {"ticks": 5}},
    "POST /v1/jobs/<job_id>/links": {"path": "curve.svg", "expires_in": 60},
    "POST /v1/webhooks": {
        "url": "https://example.com/h",
        "events": ["job.failed"],
        "labels": {"a": "b"},
        "name": "n",
        "format": "standard",
    },
    "PATCH /v1/webhooks/<webhook_id>": {
        "url": "https://example.com/h",
        "events": ["job.failed"],
        "labels": {"a": "b"},
        "name": "n",
        "format": "standard",
        "enabled": True,
        "rotate": True,
    },
    "POST /v1/keys": {"tenant": "default", "scopes": ["read"], "name": "n"},
}


MODELS = {
    f"{endpoint.method} {endpoint.path}": endpoint.body
    for endpoint in ENDPOINTS
    if endpoint.body is not None
}
SPECS = [name for name, model in MODELS.items() if model is JobSpecRequest]
MAX_HEAD_BYTES = 8 << 10  # of a problem beside its errors


def _items(text: str, size: int) -> str:
    return "[" + ",".join([text] * (size // (len(text) + 1))) + "]"


def _names(size: int) -> list[str]:
    return [f"{at:06x}" for at in range(size // 10)]


#: name -> a JSON value of about so many bytes
FILLERS: dict[str, Callable[[int], str]] = {
    "numbers": lambda size: _items("1", size),
    "not finite": lambda size: _items("NaN", size),
    "empty lists": lambda size: _items("[]", size),
    "empty objects": lambda size: _items("{}", size),
    "rows": lambda size: _items("[1]", size),
    "rows of texts": lambda size: _items('["a","b","c","d"]', size),
    "one row": lambda size: "[" + _items("1", size) + "]",
    "one row of texts": lambda size: "[" + _items('""', size) + "]",
    "ragged rows": lambda size: "[[1]," + _items("[1,2]", size)[1:],
    "equal texts": lambda size: _items('""', size),
    "different texts": lambda size: json.dumps(_names(size)),
    "equal hashes": lambda size: json.dumps([HASH_MODULUS * at for at in range(size // 24)]),
    "equal hashes as floats": lambda size: json.dumps([2.0**61 * at for at in range(size // 24)]),
    "long integers": lambda size: _items("9" * 4000, size),
    "members": lambda size: json.dumps(dict.fromkeys(_names(size // 2), "number")),
    "members of numbers": lambda size: json.dumps(dict.fromkeys(_names(size * 10 // 13), 1)),
    "a text": lambda size: '"' + "x" * size + '"',
    "an escaped text": lambda size: '"' + "\\u00e9" * (size // 6) + '"',
    "a long name": lambda size: '{"' + "~/" * (size // 2) + '": 1}',
    "a name twice": lambda size: "{" + '"a":1,' * (size // 6) + '"a":1}',
    "nested": lambda size: _items("[" * 25 + "]" * 25, size),
    "nested too deeply": lambda size: "[" * size,
}


NAMES = list(FILLERS)
LARGE = [("data", name) for name in ("inputs", "targets", "features", "exclude", "types")]


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value of a body, its root first."""
    yield path
    children = dict(enumerate(node)) if isinstance(node, list) else node
    for step, child in children.items() if isinstance(children, dict) else ():
        yield from _places(child, (*path, step))


def _with_filler(body: Any, path: tuple[Any, ...], text: str) -> bytes:
    """Return a body as JSON, with a text in the place of the value at a path."""
    copy = {"body": json.loads(json.dumps(body))}
    node: Any = copy
    for step in ("body", *path)[:-1]:
        node = node[step]
    node[("body", *path)[-1]] = HELD
    return json.dumps(copy["body"]).replace(f'"{HELD}"', text).encode()


def check(endpoint: str, data: bytes) -> None:
    """Do all that the API does before it takes a body, and write the answer to a bad one."""
    with APP.test_request_context(method="POST", data=data, content_type="application/json"):
        _check_request(endpoint)


def _check_request(endpoint: str) -> None:
    try:
        body = read_json(request)
        body_digest(body)
        if endpoint in SPECS:
            read_spec(body, max_parameters=10**9)
        else:
            parse_model(MODELS[endpoint], body)
    except (Problem, InvalidSpec) as error:
        problem = to_problem(error)
        assert problem is not None
        answer = json.dumps(problem.body)
        assert len(answer) <= MAX_ERRORS_BYTES + MAX_HEAD_BYTES


def cases(endpoint: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Draw fillers for the places of a body: many for lists of any length, a few for the others.

    A plan's body is read as a submission's is, so that only its other data is tried.
    """
    draw = random.Random(0)
    for path in _places(BODIES[endpoint]):
        if endpoint == PLAN and path[:1] not in (("data",), ("validation",)):
            continue
        names = FILLERS if path in LARGE else draw.sample(NAMES, 2)
        yield from ((name, path) for name in names)


def test_every_body_has_its_case() -> None:
    assert {*MODELS, *SPECS} == set(BODIES)


@pytest.mark.parametrize("endpoint", BODIES)
def test_twice_the_body_takes_at_most_three_times_as_long(endpoint: str) -> None:
    ratios, body = {}, BODIES[endpoint]
    with frozen_heap():
        for name, path in cases(endpoint):
            once, twice = (
                partial(check, endpoint, _with_filler(body, path, FILLERS[name](size)))
                for size in (SIZE, 2 * SIZE)
            )
            ratios[name, path] = growth(once, twice)
    assert {case: ratio for case, ratio in ratios.items() if ratio > MAX_RATIO} == {}


INPUTS, TARGETS = ("data", "inputs"), ("data", "targets")
WORST = [
    ("rows", INPUTS), ("one row of texts", INPUTS), ("equal texts", TARGETS),
    ("empty objects", ("record",)), ("members of numbers", ()), ("nested", ()),
]  # fmt: skip


def test_a_check_takes_at_most_four_times_the_body_and_a_constant() -> None:
    for name, path in WORST:
        data = _with_filler(WHOLE_SPEC, path, FILLERS[name](WHOLE))
        peak = peak_bytes(partial(check, "POST /v1/jobs", data))
        assert peak <= 4 * len(data) + EXTRA_MEMORY, (name, path)
