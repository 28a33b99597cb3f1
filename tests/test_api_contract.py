"""Rows of the contract that hold for every path, every time, every command: walked, not sampled."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

from api.app import ENDPOINTS
from api.endpoints import Endpoint
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.datasets import PETS, upload_new
from tests.manual_worker import ManualWorker
from tickforge_client import Checkpoint, Client, Job
from tickforge_client.cli import tickforge

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID = re.compile(r"(job|ds|key|wh)_[a-z0-9]{26}")
IDS = {"job_id": "job_", "dataset_id": "ds_", "key_id": "key_", "webhook_id": "wh_"}
#: the Job of the contract, field by field; `inexact_from` says where exact ended
JOB = """id kind name labels notes priority status requested phase tick ticks_total first_tick
progress epoch skipped loss best metrics ticks_per_second elapsed_seconds eta_seconds queue bytes
attempt stopped_by error result created_at started_at finished_at engine device device_choice
fingerprint exact worker parent latest_checkpoint warnings spec links inexact_from dataset"""


def path_of(rule: str) -> str:
    """An address of a rule, with ids of the right form that lead to nothing."""
    return re.sub(r"<(\w+)>", lambda match: IDS.get(match[1], "").ljust(30, "a"), rule)


def test_every_path_answers_an_unknown_method_with_405_and_allow(client: Any) -> None:
    allowed: dict[str, set[str]] = defaultdict(set)
    for rule in client.application.url_map.iter_rules():
        allowed[rule.rule] |= rule.methods
    assert len(allowed) > 20
    for rule, methods in allowed.items():
        for method in METHODS - methods:
            response = client.open(path_of(rule), method=method)
            assert response.status_code == 405, (method, rule)
            assert set(response.headers["Allow"].split(", ")) == methods, (method, rule)
            assert response.json["type"] == "urn:tickforge:problem:method-not-allowed"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.operation_id)
def test_an_unknown_query_parameter_is_refused_everywhere(client: Any, endpoint: Endpoint) -> None:
    response = client.open(f"{path_of(endpoint.path)}?nonsense=1", method=endpoint.method)
    assert response.status_code == 400
    assert "nonsense" in [error.get("parameter") for error in response.json["errors"]]


@pytest.mark.parametrize("name", ["job", "dataset", "key", "webhook"])
def test_an_id_that_leads_nowhere_is_404_of_its_kind(client: Any, name: str) -> None:
    for some_id in (IDS[f"{name}_id"] + "a" * 26, "x"):
        response = client.delete(f"/v1/{name}s/{some_id}")
        assert response.status_code == 404
        assert response.json["type"] == f"urn:tickforge:problem:no-such-{name}"


@pytest.fixture
def trained(client: Any, store: Store, settings: Settings, submit: Callable[..., str]) -> str:
    """A job that has ended, with a checkpoint."""
    job_id = submit(validation={"fraction": 0.25})
    worker = ManualWorker(store, settings)
    worker.record([1.0] * 20)
    worker.save(is_final=True)
    worker.end(stopped_by="budget")
    return job_id


def test_a_job_has_the_fields_of_the_contract(client: Any, trained: str) -> None:
    assert set(client.get(f"/v1/jobs/{trained}").json) == set(JOB.split())


def test_how_far_a_job_is_follows_from_its_ticks(
    client: Any, store: Store, settings: Settings, submit: Callable[..., str]
) -> None:
    job_id = submit(budget={"ticks": 40, "epochs": 100}, batch_size=8)
    worker = ManualWorker(store, settings)
    worker.record([2.0, 1.5, 1.25, 1.0, 0.5], elapsed=0.5)
    job = client.get(f"/v1/jobs/{job_id}").json
    assert (job["tick"], job["ticks_total"], job["loss"], job["first_tick"]) == (5, 40, 0.5, 1)
    assert (job["progress"], job["epoch"]) == (5 / 40, 5 / 4), "32 rows, 4 ticks an epoch"
    assert job["elapsed_seconds"] == 0.5 and job["eta_seconds"] > 0
    assert (job["status"], job["attempt"], job["worker"]) == ("running", 1, "by-hand")


def test_times_are_rfc_3339_with_milliseconds_and_ids_have_26_letters_and_digits(
    client: Any, trained: str
) -> None:
    client.post("/v1/keys", json={"tenant": "other", "scopes": ["read"]})
    upload_new(client, PETS)
    parts = ("", "/attempts", "/checkpoints", "/events")
    paths = [*(f"/v1/jobs/{trained}{part}" for part in parts), "/v1/keys", "/v1/datasets"]
    pairs = [pair for path in paths for pair in fields(client.get(path).json)]
    times = [value for name, value in pairs if name == "at" or name.endswith("_at")]
    ids = [value for name, value in pairs if name == "id"]
    assert len(times) >= 9 and len(ids) >= 3  # a validation by fraction has an id of null
    assert all(TIME.fullmatch(time) for time in times if time is not None)
    assert all(ID.fullmatch(id_) for id_ in ids if id_ is not None)


def fields(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield name, value
            yield from fields(value)
    elif isinstance(node, list):
        for item in node:
            yield from fields(item)


def test_links_of_a_job_lead_somewhere(client: Any, trained: str) -> None:
    links = client.get(f"/v1/jobs/{trained}").json["links"]
    assert set(links) == {"self", "history", "events", "logs", "checkpoints", "attempts", "rows"}
    for link in links.values():
        assert client.get(link).status_code == 200, link


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


def test_every_command_takes_json_server_and_key() -> None:
    by_name = dict(commands(tickforge))
    contract = {
        "submit", "status", "list", "watch", "history", "checkpoints", "download", "cancel", "stop",
        "pause", "resume", "datasets upload", "models", "workers", "keys list",
    }  # fmt: skip
    assert contract <= set(by_name)
    for name, command in by_name.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--url", "--key"} <= options, name
    assert "--watch" in {
        option for parameter in by_name["submit"].params for option in parameter.opts
    }
    assert "--csv" in {option for endpoint in by_name["history"].params for option in endpoint.opts}


def test_the_python_client_has_what_the_contract_names() -> None:
    for what, names in (
        (Client, ("submit", "upload", "keys")),
        (Job, ("wait", "history", "follow", "checkpoints")),
        (Checkpoint, ("download",)),
    ):
        assert all(hasattr(what, name) for name in names), what
    assert isinstance(Job.checkpoints, property)
