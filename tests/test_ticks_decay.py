"""Weight decay: of weights alone, or of biases and norms' parameters too, as torch computes it."""

from typing import Any

import pytest
import torch

from jobs.spec.stored import read_stored_spec
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks.optimizers import OPTIMIZERS

DECAYING: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "adam": {"name": "adam", "lr": 0.02, "weight_decay": 0.1},
    "adamw": {"name": "adamw", "lr": 0.02, "weight_decay": 0.1},
}
TORCH = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
TICKS = 12


@pytest.mark.parametrize("decay", ["weights", "all"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_is_torchs_own_by_parameter_groups(name: str, decay: str) -> None:
    body = {**DECAYING[name], "decay": decay}
    trainer = start_training(read_small_spec(optimizer=body)).trainer
    mirror = [parameter.detach().clone() for parameter in trainer.parameters]
    names = [name for name, _ in trainer.net.named_parameters()]
    is_weight = [name.endswith("weight") and mirror[at].ndim > 1 for at, name in enumerate(names)]
    assert 0 < sum(is_weight) < len(names)
    groups = [
        {"params": [p for p, yes in zip(mirror, is_weight, strict=True) if yes]},
        {"params": [p for p, yes in zip(mirror, is_weight, strict=True) if not yes],
         **({} if decay == "all" else {"weight_decay": 0.0})},
    ]  # fmt: skip
    arguments = {key: value for key, value in body.items() if key not in ("name", "decay")}
    reference = TORCH[name](groups, **arguments)
    for _ in range(TICKS):
        trainer.tick(trainer.batches.batch(trainer.ticks_done + 1))
        for copy, parameter in zip(mirror, trainer.parameters, strict=True):
            copy.grad = parameter.grad
        reference.step()
        assert all(map(torch.equal, mirror, trainer.parameters))


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_without_weight_decay_its_parameters_are_no_part_of_the_bits(norm: str) -> None:
    model = {"family": "mlp", "hidden": [6], "norm": norm}
    records = {
        run_and_record(start_training(read_small_spec(
            model=model, optimizer={"name": "sgd", "decay": decay}
        )), until=TICKS).state
        for decay in ("weights", "all")
    }  # fmt: skip
    assert len(records) == 1


def test_a_stored_optimizer_without_the_field_decays_all() -> None:
    spec = read_small_spec(optimizer=DECAYING["adamw"])
    stored = spec.to_stored()
    del stored["optimizer"]["decay"]
    old = read_stored_spec(stored)

    assert (spec.optimizer.decay, old.optimizer.decay) == ("weights", "all")
    explicit = read_small_spec(optimizer={**DECAYING["adamw"], "decay": "all"})
    states = [run_and_record(start_training(read), until=TICKS).state
              for read in (old, explicit, spec)]  # fmt: skip
    assert states[0] == states[1] != states[2]
