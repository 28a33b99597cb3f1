"""The native engine's dropout: its bits as they are defined, and what they do to the ticks."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.spec.job_spec import JobSpec
from tests.native_runs import make_native, needs_compiler
from tests.native_specs import Float64Training, make_trainer, max_difference
from tests.training_records import read_small_spec
from ticks.data.batches import TensorRows

pytestmark = needs_compiler

MASK = (1 << 64) - 1
SPEC: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [13, 9], "activation": "tanh", "dropout": 0.3},
    "optimizer": {"name": "sgd", "lr": 0.05}, "micro_batches": 3, "batch_size": 7,
    "budget": {"ticks": 40},
}  # fmt: skip


def read_stored(**fields: Any) -> JobSpec:
    """A spec with a seed of 63 bits, as records of earlier builds may have it."""
    return read_small_spec(**fields).model_copy(update={"seed": 2**63 - 5})


def mixed(x: int) -> int:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def scattered(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def keep_mask(
    p: float, seed: int, tick: int, part: int, layer: int, rows: int, width: int
) -> NDArray[np.bool_]:
    """Which units are kept, by the definition in c/layers.h, written a second time."""
    key = mixed((mixed((mixed((mixed(seed) + tick) & MASK) + part) & MASK) + layer) & MASK)
    counter = np.arange(rows * width, dtype=np.uint32)
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    bits = scattered(scattered(counter ^ low) + high)
    mask: NDArray[np.bool_] = (bits >= np.uint32(int(p * 2**32))).reshape(rows, width)
    return mask


class Masked(nn.Module):
    """Dropout whose masks are given by the definition."""

    def __init__(self, spec: JobSpec, p: float, layer: int) -> None:
        super().__init__()
        self.spec, self.p, self.layer = spec, p, layer
        self.tick = self.part = 0

    def forward(self, x: Tensor) -> Tensor:
        where = keep_mask(self.p, self.spec.seed, self.tick, self.part, self.layer, *x.shape)
        return x * torch.from_numpy(where) / (1 - self.p)


class DroppingDoubles(Float64Training):
    """The ticks in float64 with the native engine's masks, of layers shifted by `shift`."""

    def __init__(self, spec: JobSpec, shift: int = 0) -> None:
        super().__init__(make_trainer(spec))
        assert isinstance(self.net, nn.Sequential) and spec.model.family == "mlp"
        places = [at for at, module in enumerate(self.net) if isinstance(module, nn.Dropout)]
        self.masked = [
            Masked(spec, spec.model.dropout, layer + shift) for layer in range(len(places))
        ]
        for at, module in zip(places, self.masked, strict=True):
            self.net[at] = module

    def _tick(self, tick: int) -> float:
        for module in self.masked:
            module.tick = tick
        return super()._tick(tick)

    def _loss(self, part: TensorRows, number: int) -> Tensor:
        for module in self.masked:
            module.part = number
        return super()._loss(part, number)


@pytest.mark.parametrize("batch", [1, 7])
def test_ticks_with_dropout_are_those_of_the_defined_masks(batch: int) -> None:
    spec = read_stored(**SPEC | {"batch_size": batch, "micro_batches": min(batch, 3)})
    ours = make_native(spec).run(40).columns["loss"]

    assert max_difference(ours, DroppingDoubles(spec).losses(40)) < 1e-5
    assert max_difference(ours, DroppingDoubles(spec, shift=1).losses(40)) > 1e-2


def test_ticks_at_rate_zero_are_those_without_dropout() -> None:
    """So two engines, each with masks of its own, can be compared."""
    engine = make_native(read_stored(**SPEC))
    for module in engine.trainer.net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    without = read_stored(**SPEC | {"model": SPEC["model"] | {"dropout": 0}})

    ours, plain = engine.run(40), make_native(without).run(40)

    assert ours.columns["loss"].tobytes() == plain.columns["loss"].tobytes()


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_the_share_of_dropped_units_is_the_rate(p: float) -> None:
    masks = np.stack([keep_mask(p, 7, tick, 0, 0, 32, 64) for tick in range(1, 101)])
    deviation = (p * (1 - p) / masks.size) ** 0.5

    assert abs(masks.mean() - (1 - p)) < 4 * deviation


def test_masks_of_neighbours_have_nothing_in_common() -> None:
    """Units, rows, layers, parts, ticks and seeds beside one another: as chance has it."""
    one = np.stack([keep_mask(0.5, 3, tick, 0, 0, 64, 64) for tick in range(1, 41)]) - 0.5
    others = {
        "unit": np.roll(one, 1, axis=2), "row": np.roll(one, 1, axis=1),
        "tick": np.roll(one, 1, axis=0),
        "layer": np.stack([keep_mask(0.5, 3, t, 0, 1, 64, 64) for t in range(1, 41)]) - 0.5,
        "part": np.stack([keep_mask(0.5, 3, t, 1, 0, 64, 64) for t in range(1, 41)]) - 0.5,
        "seed": np.stack([keep_mask(0.5, 4, t, 0, 0, 64, 64) for t in range(1, 41)]) - 0.5,
    }  # fmt: skip

    for name, other in others.items():
        assert abs(float((one * other).mean()) * 4) < 4.5 / one.size**0.5, name
