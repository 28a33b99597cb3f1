"""The seed article's loop against the service: the same 10,000 ticks, side by side, in turn."""

import json
import time
from typing import Any

import torch
from torch import nn

from bench.report import Figure, ratio
from bench.service import ROOT, Service, running
from jobs.spec.job_spec import read_spec
from models.build import build
from ticks.data import load

EPOCHS = 100


def measure(rounds: int) -> list[Figure]:
    """Run the loop and the service in turn; every tick of the service is recorded."""
    torch.set_num_threads(1)
    spec = json.loads((ROOT / "examples" / "seed_layernorm.json").read_text())
    loops, whole, training = [], [], []
    with running() as service:
        _served(service, spec)
        for _ in range(rounds):
            loops.append(_article(spec))
            seconds, job = _served(service, spec)
            whole.append(seconds)
            training.append(job["elapsed_seconds"])
    ticks = EPOCHS * 100
    return [
        Figure("article's loop, ticks/s", "ticks/s", [ticks / s for s in loops]),
        Figure("service, training alone", "ticks/s", [ticks / s for s in training]),
        Figure("service, POST to succeeded", "ticks/s", [ticks / s for s in whole]),
        ratio("service's training against the loop", loops, training),
        ratio("POST to succeeded against the loop", loops, whole),
    ]


def _served(service: Service, spec: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    job = service.wait(service.submit(spec))
    assert job["status"] == "succeeded" and job["tick"] == EPOCHS * 100, job["error"]
    return time.perf_counter() - began, job


def _article(body: dict[str, Any]) -> float:
    """The loop as the article has it; the data is made before the clock starts."""
    spec = read_spec(body, max_parameters=10**6)
    rows = load(spec, torch.device("cpu")).training
    inputs, targets = rows.inputs, rows.targets
    model = build(spec.model, 10, 1, spec.seed)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for i in range(100):
            optimizer.zero_grad()
            loss = criterion(model(inputs[i]), targets[i])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return time.perf_counter() - began
