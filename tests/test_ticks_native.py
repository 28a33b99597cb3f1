"""The native engine's bits depend on the spec alone: not on the build, the chunks or a resume."""

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.native_runs import (
    BUILDS,
    QUICK,
    make_native,
    needs_compiler,
    objects_folder,
    run_bits,
    run_chunks,
)
from tests.native_specs import draw_spec, make_trainer
from tests.needs import require_program
from tests.training_records import read_small_spec
from ticks import state_files
from ticks.data.batches import TensorRows
from ticks.engines.native import compiler
from ticks.engines.native.engine import NativeEngine
from ticks.engines.native.rates import learning_rates
from ticks.metrics.evaluation import RowEvaluation, make_metrics
from ticks.metrics.numbers import NumberMetrics
from ticks.state import optimizer_tensors, restore, state_digest, weights
from ticks.training import TrainingRun
from ticks.validation import evaluate

pytestmark = needs_compiler

#: dropout, parts of unequal length, a short last batch, clipping, both kinds of moments
RICH: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [9, 20], "norm": "group", "activation": "gelu",
              "dropout": 0.2},
    "micro_batches": 3, "batch_size": 7, "clip_norm": 0.5, "record": ["loss", "grad_norm"],
    "schedule": {"name": "cosine", "warmup_ticks": 9}, "budget": {"ticks": 120},
    "optimizer": {"name": "adamw", "lr": 0.01},
}  # fmt: skip
SPECS = {
    "seed": {"batch_size": 1, "optimizer": {"name": "sgd", "lr": 0.01}},
    "rich": RICH,
    "classes": {
        "data": {"source": "example", "name": "digits"},
        "model": {"family": "mlp", "hidden": [17], "norm": "rms", "activation": "tanh"},
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    },
    "wide": {
        "model": {"family": "mlp", "hidden": [70, 33, 8], "norm": "none", "activation": "silu"},
        "optimizer": {"name": "adam", "weight_decay": 0.1},
    },
    "sigmoid": {
        "batch_size": 1,
        "model": {"family": "mlp", "hidden": [11], "activation": "sigmoid", "dropout": 0.5},
    },
}  # fmt: skip
#: losses and norms of 120 ticks (a sha256's head), and the state's digest
GOLDEN = {
    "all": ("329f8a95c2273554", "f796d4344b9dedd1"),
    "weights": ("57b5805de105bbcd", "b88e2086073bc9f1"),
}
#: a target whose square overflows float32: the loss of tick 29 is inf
OVERFLOWING: dict[str, Any] = {
    "data": {"source": "inline", "inputs": [[float(row % 7), 1.0] for row in range(40)],
             "targets": [float(row % 5) + 0.5 if row != 28 else 1e30 for row in range(40)],
             "shuffle": False},
    "batch_size": 1, "model": {"family": "mlp", "hidden": [4], "norm": "none"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}, "budget": {"ticks": 100},
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_every_build_gives_the_same_losses_and_weights(name: str) -> None:
    spec = read_small_spec(**SPECS[name])

    bits = {build: run_chunks(spec, [40], flags) for build, flags in BUILDS.items()}

    assert len(set(bits.values())) == 1, {build: both[1] for build, both in bits.items()}


#: nets of every shape and norm whose weights take the plain step: batch 1, nothing but SGD
PLAIN = {
    "one layer": {"hidden": [20], "norm": "layer"},
    "wider and narrower": {"hidden": [5, 19, 11], "norm": "rms", "activation": "silu"},
    "narrower at first": {"hidden": [2, 12], "norm": "layer", "activation": "tanh"},
    "no norm": {"hidden": [9, 4], "norm": "none"},
    "groups": {"hidden": [12], "norm": "group", "dropout": 0.2},
}


@pytest.mark.parametrize("name", PLAIN)
def test_recording_norms_changes_no_bit_of_a_plain_step(name: str) -> None:
    """One build makes the step on the way back, the next row's products with it; one keeps all."""
    spec = {"model": {"family": "mlp", **PLAIN[name]}, "batch_size": 1,
            "optimizer": {"name": "sgd", "lr": 0.01}}  # fmt: skip
    bits = set()
    for record in (["loss"], ["loss", "grad_norm"]):
        engine = make_native(read_small_spec(**spec, record=record))
        chunks = [engine.run(k) for k in (1, 30, 9)]
        losses = b"".join(chunk.columns["loss"].tobytes() for chunk in chunks)
        bits.add((losses, state_digest(engine.trainer)))

    assert len(bits) == 1


@pytest.mark.parametrize("name", ["rich", "sigmoid"])
def test_clang_gives_the_same_bits_as_gcc(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_small_spec(**SPECS[name])
    bits = set()
    require_program("gcc")
    for command in ("gcc", "clang"):
        monkeypatch.setenv("CC", command)
        if compiler.find_compiler() is None:
            pytest.skip("no clang here")
        bits.add(run_chunks(spec, [40]))

    assert len(bits) == 1


@pytest.mark.parametrize("decay", GOLDEN)
def test_bits_are_those_of_every_machine_so_far(decay: str) -> None:
    """Weights and rows are made without a random number, so that only the engine decides."""
    optimizer = {**RICH["optimizer"], "decay": decay}
    spec = read_small_spec(**{**RICH, "optimizer": optimizer}, data={
        "source": "inline", "shuffle": False,
        "inputs": [[(row * 7 + column * 3) % 11 / 8 - 0.5 for column in range(3)]
                   for row in range(32)],
        "targets": [row * 5 % 9 / 4 - 1 for row in range(32)],
    })  # fmt: skip
    engine = make_native(spec)
    with torch.no_grad():
        for parameter in engine.trainer.parameters:
            steps = torch.arange(parameter.numel()).reshape(parameter.shape)
            parameter.copy_((steps * 37 % 64 - 31.5) / 128)

    bits, state = run_bits(engine.trainer, [engine.run(120)])

    assert (hashlib.sha256(bits).hexdigest()[:16], state) == GOLDEN[decay]


@pytest.mark.parametrize("name", ["seed", "rich", "classes"])
def test_chunks_of_any_length_give_the_same_bits(name: str) -> None:
    spec, rng = read_small_spec(**SPECS[name]), random.Random(1)
    lengths = [rng.randint(1, 9) for _ in range(12)]
    total = sum(lengths)

    bits = {run_chunks(spec, chunk_lengths) for chunk_lengths in (
        [total], [1] * total, [7] * (total // 7) + [total % 7], lengths, [total, 0],
    )}  # fmt: skip

    assert len(bits) == 1


def test_the_numbers_of_a_flushing_thread_change_no_bit() -> None:
    spec = read_small_spec(**RICH)
    plain = run_chunks(spec, [60])
    torch.set_flush_denormal(True)
    try:
        flushed = run_chunks(spec, [60])
    finally:
        torch.set_flush_denormal(False)

    assert flushed == plain


@pytest.mark.parametrize("name", ["seed", "rich", "classes", "wide"])
def test_a_restored_state_goes_on_as_if_nothing_had_been(name: str) -> None:
    spec = read_small_spec(**SPECS[name])
    straight = make_native(spec)
    first = straight.run(33)
    net = {name: tensor.clone() for name, tensor in weights(straight.trainer).items()}
    moments = {name: tensor.clone() for name, tensor in optimizer_tensors(straight.trainer).items()}
    rest = straight.run(30)
    resumed = make_native(spec)
    restore(resumed.trainer, net, moments, first.count)

    again = resumed.run(30)

    assert again.columns["loss"].tobytes() == rest.columns["loss"].tobytes()
    assert state_digest(resumed.trainer) == state_digest(straight.trainer)


def test_eager_goes_on_from_a_state_of_native(tmp_path: Path) -> None:
    """The state is torch's own: names, shapes and Adam's count of updates."""
    spec = read_small_spec(**RICH)
    training = TrainingRun(spec, torch.device("cpu"))
    training.engine = NativeEngine(training.trainer, spec.record, objects_folder(), QUICK)
    training.run(50)
    state_files.save(training, tmp_path)
    other = TrainingRun(spec, torch.device("cpu"))

    state_files.load(other, tmp_path)
    ran = other.run(5)

    assert ran.chunk.first == 51 and ran.failure is None
    steps = {
        float(parameter_state["step"]) for parameter_state in other.trainer.optimizer.state.values()
    }
    assert steps == {55.0}


@pytest.mark.parametrize("clip", [None, 1.0], ids=["applied at once", "kept"])
def test_a_loss_that_is_not_finite_is_recorded_and_not_applied(clip: float | None) -> None:
    spec = read_small_spec(**OVERFLOWING, clip_norm=clip)
    before = make_native(spec)
    before.run(28)
    engine = make_native(spec)

    chunk = engine.run(100)

    assert chunk.nonfinite and chunk.count == 29 and engine.trainer.ticks_done == 28
    assert np.isinf(chunk.columns["loss"][-1]) and np.isfinite(chunk.columns["loss"][:-1]).all()
    assert state_digest(engine.trainer) == state_digest(before.trainer)


def test_every_build_spells_nan_the_same_way() -> None:
    """A row of 3e38 makes 0 times infinity in some layer: loss, norm and later ticks are NaN."""
    inputs = [[3e38, -3e38, 3e38] if row == 5 else [0.1 * row, 1.0, -1.0] for row in range(9)]
    spec = read_small_spec(
        data={"source": "inline", "inputs": inputs, "targets": [0.5] * 9, "shuffle": False},
        batch_size=3, record=["loss", "grad_norm"], optimizer={"name": "sgd", "lr": 0.1},
        stop={"on_nonfinite": "skip"},
    )  # fmt: skip
    bits = {}
    for build, flags in BUILDS.items():
        engine = make_native(spec, flags)
        chunks = [engine.run(3)]
        engine.trainer.skip_tick()
        bits[build] = run_bits(engine.trainer, [*chunks, engine.run(4)])
        assert chunks[0].nonfinite and np.isnan(chunks[0].columns["loss"][-1])

    assert len(set(bits.values())) == 1


def test_the_tick_after_a_skipped_one_is_the_next() -> None:
    spec = read_small_spec(**OVERFLOWING, stop={"on_nonfinite": "skip"})
    training = TrainingRun(spec, torch.device("cpu"))
    training.engine = NativeEngine(training.trainer, spec.record, objects_folder(), QUICK)

    firsts = [training.run(50).chunk for _ in range(2)]

    assert [(chunk.first, chunk.count) for chunk in firsts] == [(1, 29), (30, 40)]  # it comes again


def test_a_first_loss_that_is_not_finite_leaves_no_moments() -> None:
    data = OVERFLOWING["data"] | {"targets": [1e30, *OVERFLOWING["data"]["targets"][1:]]}
    engine = make_native(read_small_spec(**OVERFLOWING | {"data": data}))

    chunk = engine.run(5)

    assert chunk.nonfinite and chunk.count == 1
    assert optimizer_tensors(engine.trainer) == {}


@pytest.mark.parametrize("name", ["seed", "classes", "wide"])
def test_an_evaluation_means_what_validation_means(name: str) -> None:
    spec = read_small_spec(**SPECS[name])
    engines = [make_native(spec, flags) for flags in (QUICK, BUILDS["-O0"])]
    rows = engines[0].trainer.batches.rows  # type: ignore[attr-defined]
    classes = spec.profile.outputs if spec.profile.kind == "class" else 0
    config = {"objective": spec.objective, "outputs": classes}
    for engine in engines:
        engine.run(20)

    metrics = [make_metrics(config) for _ in range(3)]
    ours, other = (
        RowEvaluation(engine.evaluate(rows, sums), sums)
        for engine, sums in zip(engines, metrics, strict=False)
    )
    torchs = RowEvaluation(evaluate(engines[0].trainer, rows, metrics[2]), metrics[2])

    assert ours.metrics == other.metrics and ours.sums.report() == other.sums.report()
    assert ours.metrics == pytest.approx(torchs.metrics, rel=1e-4)
    assert ours.metrics.get("accuracy") == torchs.metrics.get("accuracy")


def test_an_evaluation_goes_by_blocks_of_1024_rows() -> None:
    spec = read_small_spec(**SPECS["seed"])
    engine = make_native(spec)
    inputs = torch.linspace(-2, 2, 3 * 2500).reshape(2500, 3)
    rows = TensorRows(inputs, inputs.sum(dim=1, keepdim=True))

    whole = engine.evaluate(rows, NumberMetrics(None))
    parts = [engine.evaluate(block, NumberMetrics(None)) for block in rows.blocks()]

    assert whole == (parts[0] * 1024 + parts[1] * 1024 + parts[2] * 452) / 2500


@pytest.mark.parametrize("number", range(12))
def test_rates_of_many_ticks_are_those_of_the_spec(number: int) -> None:
    spec = draw_spec(number)

    many = np.broadcast_to(learning_rates(spec, 1, 64), 64).tolist()

    assert many == [spec.rate(tick) for tick in range(1, 65)]


def test_trainers_of_one_signature_share_an_object() -> None:
    """A rate, a seed, a batch's size and parts are no part of the code."""
    before = len(list(objects_folder().glob("*.so")))
    shared = {"model": {"family": "mlp", "hidden": [5]}, "optimizer": {"name": "adam", "lr": 0.1}}
    for changes in ({}, {"seed": 5, "batch_size": 3}, {"micro_batches": 2}):
        trainer = make_trainer(read_small_spec(**shared, **changes))
        NativeEngine(trainer, ["loss"], objects_folder(), QUICK).run(2)

    assert len(list(objects_folder().glob("*.so"))) == before + 1
