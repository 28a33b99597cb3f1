"""Jobs in lanes: every lane's bits are those of its run alone, whoever runs beside it."""

from typing import Any

import numpy as np
import pytest

from jobs.spec.job_spec import JobSpec
from tests.native_runs import BUILDS, QUICK, make_native, needs_compiler, objects_folder, run_bits
from tests.native_specs import make_trainer
from tests.test_ticks_native import OVERFLOWING, RICH
from tests.training_records import read_small_spec
from ticks.engines.native.lanes import LaneBatch, lane_group
from ticks.state import state_digest

pytestmark = needs_compiler

KINDS: dict[str, dict[str, Any]] = {
    "seed": {"batch_size": 1, "optimizer": {"name": "sgd", "lr": 0.01}},
    "plain": {"batch_size": 1, "optimizer": {"name": "sgd"},
              "model": {"family": "mlp", "hidden": [2, 13, 10], "norm": "rms"}},
    "rich": RICH,
    "dropout at once": {"batch_size": 1, "model": {"family": "mlp", "hidden": [10], "norm": "rms",
                                                   "activation": "silu", "dropout": 0.3}},
    "classes": {"data": {"source": "synthetic", "kind": "classification", "samples": 30,
                         "features": 4},
                "model": {"family": "mlp", "hidden": [9], "norm": "group", "activation": "tanh"},
                "optimizer": {"name": "adam", "weight_decay": 0.01}},
}  # fmt: skip


def variants(name: str, count: int) -> list[JobSpec]:
    """Specs of one kind that differ in seed, data, rows, rate, schedule and batch."""
    specs = []
    for number in range(count):
        body = {**KINDS[name], "seed": number}
        data = body.get("data", {"source": "synthetic", "kind": "regression", "features": 3})
        body["data"] = data | {"samples": 20 + number % 3 * 7, "seed": number + 50,
                               "shuffle": number % 2 == 0}  # fmt: skip
        optimizer = body.get("optimizer", {"name": "adamw"})
        body["optimizer"] = optimizer | {"lr": 0.005 * (1 + number)}
        body["schedule"] = {"name": ("constant", "cosine")[number % 2], "warmup_ticks": number % 4}
        if "batch_size" not in body or body["batch_size"] > 1:
            body["batch_size"] = 6 + number % 2
        specs.append(
            read_small_spec(**body, budget={"ticks": 90})
            if "budget" not in body
            else read_small_spec(**body)
        )
    return specs


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("name", KINDS)
def test_a_lane_gives_the_bits_of_its_run_alone(name: str, lanes: int) -> None:
    specs = variants(name, lanes - 1)
    ticks = [30 + 3 * number for number in range(len(specs))]
    trainers = [make_trainer(spec) for spec in specs]

    chunks = LaneBatch(trainers, specs[0].record, lanes, objects_folder(), QUICK).run(ticks)

    for trainer, chunk, spec, k in zip(trainers, chunks, specs, ticks, strict=True):
        alone = make_native(spec)
        assert run_bits(trainer, [chunk]) == run_bits(alone.trainer, [alone.run(k)])


def test_eight_lanes_of_an_unoptimised_build_give_the_same_bits() -> None:
    bits = set()
    for flags in BUILDS.values():
        trainers = [make_trainer(spec) for spec in variants("rich", 8)]
        chunks = LaneBatch(trainers, ["loss"], 8, objects_folder(), flags).run([30] * 8)
        bits.add(tuple(run_bits(t, [c]) for t, c in zip(trainers, chunks, strict=True)))

    assert len(bits) == 1


def test_chunks_of_other_lengths_in_every_lane_give_the_same_bits() -> None:
    specs = variants("seed", 5)
    one, other = ([make_trainer(spec) for spec in specs] for _ in range(2))
    whole = LaneBatch(one, ["loss"], 8, objects_folder(), QUICK).run([60] * 5)
    cut = LaneBatch(other, ["loss"], 8, objects_folder(), QUICK)

    ticks = ([7, 8, 9, 10, 11], [0, 0, 0, 0, 0], [53, 52, 51, 50, 49])
    parts = [cut.run(lengths) for lengths in ticks]

    for lane in range(5):
        lane_chunks = [part[lane] for part in parts]
        assert run_bits(other[lane], lane_chunks) == run_bits(one[lane], [whole[lane]])


@pytest.mark.parametrize("clip", [None, 1.0], ids=["applied at once", "kept"])
def test_a_lane_whose_loss_is_not_finite_stops_alone(clip: float | None) -> None:
    specs = [read_small_spec(**OVERFLOWING, seed=number, clip_norm=clip) for number in range(8)]
    targets = [0.5 if target == 1e30 else target for target in OVERFLOWING["data"]["targets"]]
    sound = OVERFLOWING | {"data": OVERFLOWING["data"] | {"targets": targets}}
    specs[3:6] = [read_small_spec(**sound, seed=number, clip_norm=clip) for number in range(3)]
    trainers = [make_trainer(spec) for spec in specs]

    chunks = LaneBatch(trainers, ["loss"], 8, objects_folder(), QUICK).run([50] * 8)

    for lane, (spec, trainer, chunk) in enumerate(zip(specs, trainers, chunks, strict=True)):
        stopped = lane not in (3, 4, 5)
        assert (chunk.nonfinite, chunk.count) == (stopped, 29 if stopped else 50)
        assert np.isfinite(chunk.columns["loss"]).all() != stopped
        alone = make_native(spec)
        assert run_bits(trainer, [chunk]) == run_bits(alone.trainer, [alone.run(50)])


def test_neighbours_change_no_bit_of_a_lane() -> None:
    specs = variants("seed", 8)
    states = set()
    for others in ([], specs[1:4], list(reversed(specs[1:]))):
        trainers = [make_trainer(spec) for spec in [specs[0], *others]]
        LaneBatch(trainers, ["loss"], 8, objects_folder(), QUICK).run([40, *[25] * len(others)])
        states.add(state_digest(trainers[0]))

    assert len(states) == 1


def test_only_jobs_of_one_kind_share_lanes() -> None:
    one, same, other = (
        make_trainer(
            read_small_spec(
                batch_size=size, optimizer={"name": "sgd", "lr": lr}, micro_batches=parts
            )
        )
        for size, lr, parts in ((8, 0.1, 2), (5, 0.2, 2), (8, 0.1, 4))
    )

    assert lane_group(one) == lane_group(same) != lane_group(other)
