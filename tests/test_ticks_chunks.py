"""One spec in chunks of any length: the same history, decisions and state, to the last bit."""

import random
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from tests.training_records import RunRecord, read_small_spec, run_and_record, start_training

RICH: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [8, 6], "norm": "layer+batch", "dropout": 0.2},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "schedule": {"name": "cosine", "warmup_ticks": 9},
    "budget": {"ticks": 120},
    "micro_batches": 2,
    "clip_norm": 1.0,
    "record": ["loss", "grad_norm"],
}
VALIDATED = {"validation": {"fraction": 0.25, "every_ticks": 20}}
#: a regression with a target whose square overflows float32: the loss of its tick (29) is inf
OVERFLOWING = {
    "data": {
        "source": "inline",
        "inputs": [[float(row % 7), 1.0] for row in range(40)],
        "targets": [float(row % 5) + 0.5 if row != 28 else 1e30 for row in range(40)],
        "shuffle": False,
    },
    "batch_size": 1,
    "model": {"family": "mlp", "hidden": [4], "norm": "none"},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "budget": {"ticks": 100},
}

ENDS: dict[str, tuple[dict[str, Any], tuple[int, str | None]]] = {
    "budget": (RICH | VALIDATED, (120, "budget")),
    "target": (
        RICH | VALIDATED | {"stop": {"target": {"metric": "val_loss", "below": 1e9}}},
        (20, "target"),
    ),
    "patience": (
        RICH
        | VALIDATED
        | {"stop": {"patience": {"metric": "val_loss", "ticks": 60, "min_delta": 100}}},
        (80, "patience"),
    ),
    "patience with loss": (
        RICH
        | {
            "stop": {
                "patience": {"metric": "loss", "ticks": 30, "min_delta": 100},
                "check_every": 7,
            }
        },
        (42, "patience"),
    ),
    "target, of a mean": (
        RICH | {"stop": {"target": {"metric": "loss", "below": 0.25}, "check_every": 9}},
        (99, "target"),
    ),
    "converged": (
        RICH
        | {
            "stop": {
                "converged": {"metric": "loss", "window": 25, "rel_change": 0.9},
                "check_every": 10,
            }
        },
        (50, "converged"),
    ),
    "not finite": (OVERFLOWING, (28, None)),
    "not finite, skipped": (OVERFLOWING | {"stop": {"on_nonfinite": "skip"}}, (100, "budget")),
}


def at_random(seed: int) -> Iterator[int]:
    generator = random.Random(seed)
    while True:
        yield generator.choice([1, 2, 3, 5, 17, 64, 200])


@pytest.mark.parametrize("end", ENDS)
def test_the_length_of_chunks_changes_no_bit_and_no_decision(end: str) -> None:
    changes, expected = ENDS[end]
    spec = read_small_spec(**changes)
    records: list[RunRecord] = [
        run_and_record(start_training(spec), lengths)
        for lengths in (repeat(1), repeat(7), repeat(1000), at_random(1), at_random(2))
    ]
    assert (records[0].tick, records[0].ended) == expected
    assert all(other == records[0] for other in records[1:])


def test_the_comparison_sees_another_seed() -> None:
    one, other = (
        run_and_record(start_training(read_small_spec(**RICH, seed=seed)), until=3)
        for seed in (0, 1)
    )
    assert one.columns != other.columns and one.state != other.state


def test_a_run_gives_all_its_ticks_once_in_order() -> None:
    training = start_training(read_small_spec(**RICH))
    first = 1
    while training.end_reason is None:
        chunk = training.run(11).chunk
        assert chunk.first == first
        assert {len(column) for column in chunk.columns.values()} == {chunk.count}
        first += chunk.count
    assert first == 121


def test_the_same_spec_twice_is_the_same_bits() -> None:
    spec = read_small_spec(**RICH | VALIDATED)
    assert run_and_record(start_training(spec), until=60) == run_and_record(
        start_training(spec), until=60
    )
