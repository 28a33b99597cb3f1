"""The article's loop, verbatim: the baseline of all measurements."""

import json
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.service import ROOT
from jobs.spec.reading import read_spec
from models.build import build
from ticks.data.load import load_data

TICKS = 10_000
SEED_SPEC: dict[str, Any] = json.loads((ROOT / "examples" / "seed_layernorm.json").read_text())


def run_article_loop() -> tuple[float, bytes]:
    """Run the article's 10,000 ticks; return seconds and float32 losses. The data exist before."""
    torch.set_num_threads(1)
    spec = read_spec(SEED_SPEC, max_parameters=10**6)
    rows = load_data(spec, torch.device("cpu")).training
    inputs, targets = rows.inputs, rows.targets
    model = build(spec.model, 10, 1, spec.seed)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    started = time.perf_counter()
    for _epoch in range(TICKS // 100):
        for i in range(100):
            outputs = model(inputs[i])
            loss = criterion(outputs, targets[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return time.perf_counter() - started, np.array(losses, dtype="<f4").tobytes()
