"""Answers by hand: nets to ask that nothing has trained, and a worker that answers as told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.answers.ledger import AnswerClaim, AnswerLeases
from jobs.queries import worker_registry
from jobs.settings import Settings
from jobs.store.connection import Store, connect
from tests.manual_worker import ManualWorker
from tests.support import small_spec

#: config.json of a net of a table with a column of each type
TABLE_NET: dict[str, Any] = {
    "inputs": 6, "outputs": 2, "objective": "cross_entropy", "parameters": 9,
    "model": {"family": "mlp", "hidden": [2]}, "classes": ["cat", "dog"], "target": "kind",
    "cells": {"decimal": "point", "thousands": "none", "missing": ["", "NA"]},
    "columns": [
        {"name": "age", "type": "number"},
        {"name": "weight", "type": "number", "fill": 1.5, "indicator": True},
        {"name": "born", "type": "datetime"},
        {"name": "colour", "type": "category", "classes": ["black", "white"]},
    ],
}  # fmt: skip
ROW = {"age": 3, "weight": "NA", "born": "2026-01-31", "colour": "black"}
TEXT_NET: dict[str, Any] = {
    "inputs": 8, "outputs": 3, "objective": "language_model", "parameters": 9,
    "model": {"family": "transformer_lm"}, "vocabulary": ["a", "b", " "],
}  # fmt: skip
RESULT = {"predictions": [{"class": "cat", "probabilities": {"cat": 0.75, "dog": 0.25}}]}


def make_net(http: Any, store: Store, settings: Settings, config: dict[str, Any]) -> str:
    """Return a job that has ended, whose final checkpoint has this config.json."""
    job_id = str(http.post("/v1/jobs", json=small_spec(name="pets")).json["id"])
    worker = ManualWorker(store, settings)
    worker.record([1.0] * 20)
    worker.save(is_final=True, more_files={"config.json": json.dumps(config).encode()})
    worker.end(stopped_by="budget")
    return job_id


def announce_worker(store: Store) -> None:
    """Register a worker that answers, as if it lived."""
    worker_registry.register(store, "w", {"queue": "cpu", "answers": True}, 60)


def claim_answer(store: Store, lease_seconds: float = 60) -> tuple[AnswerLeases, AnswerClaim]:
    """Claim the next answer."""
    leases = AnswerLeases(store, lease_seconds)
    claim = leases.claim("w")
    assert claim is not None, "there is no answer to claim"
    return leases, claim


@contextmanager
def answering(url: str, result: dict[str, Any] = RESULT) -> Iterator[None]:
    """Give every answer this result while the block runs."""
    stopped = threading.Event()

    def answer() -> None:
        store = connect(url)
        leases = AnswerLeases(store, 60)
        while not stopped.wait(0.005):
            if claim := leases.claim("w"):
                leases.succeed(claim, result)
        store.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
