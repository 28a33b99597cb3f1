"""The seed article's two programs: its own loop, verbatim, against our trainer, bit for bit."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from tests.support import ROOT
from tests.training_records import run_and_record, start_training

EXAMPLES = ROOT / "examples"


def spec_of(program: str) -> JobSpec:
    return read_spec(json.loads((EXAMPLES / f"{program}.json").read_text()), max_parameters=10**6)


def net_of(program: str) -> nn.Sequential:
    torch.manual_seed(0)
    norm = [nn.LayerNorm(50)] if program == "seed_layernorm" else []
    return nn.Sequential(nn.Linear(10, 50), *norm, nn.ReLU(), nn.Linear(50, 1))


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(100, 10, generator=generator)
    slopes = torch.randn(10, 1, generator=generator)
    return inputs, inputs @ slopes + 0.1 * torch.randn(100, 1, generator=generator)


def article(model: nn.Module, inputs, targets, epochs: int, lr: float = 0.01) -> bytes:
    """The article's loop; its losses as float32 bytes."""
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _epoch in range(epochs):
        for i in range(len(inputs)):
            outputs = model(inputs[i])
            loss = criterion(outputs, targets[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return np.array(losses, dtype="<f4").tobytes()


#: all 10,000 losses of the program with LayerNorm are compared with what its example prints, below
@pytest.mark.parametrize(("program", "epochs"), [("seed_layernorm", 10), ("seed_plain", 100)])
def test_the_losses_and_the_weights_equal_the_articles_loop(program: str, epochs: int) -> None:
    training = start_training(spec_of(program))
    record = run_and_record(training, until=100 * epochs)
    model = net_of(program)
    losses = article(model, *data(), epochs)
    assert record.columns["loss"] == losses
    assert record.tick == 100 * epochs and record.ended == ("budget" if epochs == 100 else None)
    pairs = zip(training.trainer.net.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_the_example_loop_prints_the_losses_that_the_trainer_records() -> None:
    completed = subprocess.run(
        [sys.executable, EXAMPLES / "layernorm_loop.py"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    printed = np.array([float(line) for line in completed.stdout.splitlines()], "<f4")
    record = run_and_record(start_training(spec_of("seed_layernorm")))

    assert record.tick == len(printed) == 10_000 and record.ended == "budget"
    assert printed.tobytes() == record.columns["loss"]


@pytest.fixture(scope="module")
def first_epochs() -> bytes:
    """What our trainer gives for the first 300 ticks of the program with LayerNorm."""
    return run_and_record(start_training(spec_of("seed_layernorm")), until=300).columns["loss"]


def test_the_comparison_sees_another_learning_rate(first_epochs: bytes) -> None:
    assert first_epochs == article(net_of("seed_layernorm"), *data(), epochs=3)
    almost = float(np.nextafter(np.float32(0.01), np.float32(1)))
    assert first_epochs != article(net_of("seed_layernorm"), *data(), epochs=3, lr=almost)


def test_the_comparison_sees_rows_in_another_order(first_epochs: bytes) -> None:
    inputs, targets = data()
    swapped = torch.tensor([1, 0, *range(2, 100)])
    losses = article(net_of("seed_layernorm"), inputs[swapped], targets[swapped], epochs=3)
    assert first_epochs != losses


def test_the_article_slices_one_tensor_and_so_do_we() -> None:
    training = start_training(spec_of("seed_plain"))
    batches = training.trainer.batches
    first, second = batches.batch(1).inputs, batches.batch(2).inputs
    assert second.data_ptr() - first.data_ptr() == 10 * 4  # own copies would be aligned, apart
    assert batches.batch(101).inputs.data_ptr() == first.data_ptr()


def test_the_data_are_the_articles() -> None:
    training = start_training(spec_of("seed_plain"))
    rows, (inputs, targets) = training.trainer.batches.rows, data()
    assert torch.equal(rows.inputs, inputs) and torch.equal(rows.targets, targets)
