"""The jobs under attack: tiny, a second or three each, together covering every kind of state.

None has a budget of seconds or a checkpoint by the clock: each has exactly one right result.
"""

from typing import Any

Spec = dict[str, Any]

CLASSES: Spec = {
    "source": "synthetic", "kind": "classification", "samples": 240, "features": 6, "classes": 3,
    "seed": 2,
}  # fmt: skip
NUMBERS: Spec = {
    "source": "synthetic", "kind": "regression", "samples": 96, "features": 4, "seed": 3,
}  # fmt: skip

SPECS: dict[str, Spec] = {
    # dropout, AdamW, a cosine, shuffled rows, validation, the best kept
    "dropout": {
        "model": {"family": "mlp", "hidden": [16, 16], "dropout": 0.1},
        "data": CLASSES,
        "schedule": {"name": "cosine", "warmup_ticks": 50},
        "budget": {"ticks": 1500},
        "batch_size": 16,
        "validation": {"fraction": 0.25, "every_ticks": 250},
        "checkpoint": {"every_ticks": 200, "every_seconds": None},
    },
    # momentum, running averages, parts of a batch, clipping, a second column
    "momentum": {
        "model": {"family": "mlp", "hidden": [12], "norm": "batch"},
        "data": NUMBERS,
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True},
        "schedule": {"name": "linear", "warmup_ticks": 20},
        "budget": {"ticks": 900},
        "batch_size": 16,
        "micro_batches": 2,
        "clip_norm": 1.0,
        "record": ["loss", "grad_norm"],
        "checkpoint": {"every_ticks": 150, "every_seconds": None, "at_start": True},
    },
    # ends by a rule, at a tick that no attack may change
    "patience": {
        "model": {"family": "mlp", "hidden": [8], "dropout": 0.2},
        "data": CLASSES,
        "optimizer": {"name": "adam", "lr": 0.01},
        "budget": {"ticks": 5000},
        "stop": {"patience": {"ticks": 300}},
        "batch_size": 16,
        "validation": {"fraction": 0.25, "every_ticks": 100},
        "checkpoint": {"every_ticks": 300, "every_seconds": None, "keep": 2},
    },
    # no checkpoint before the end: every attempt replays all recorded ticks
    "replayed": {
        "model": {"family": "mlp", "hidden": [4]},
        "data": NUMBERS,
        "budget": {"ticks": 1200},
        "batch_size": 8,
        "checkpoint": {"every_ticks": 100000, "every_seconds": None},
    },
    # whole ticks in C, compiled before the first of them, with dropout by a counter
    "native": {
        "model": {"family": "mlp", "hidden": [8], "dropout": 0.2},
        "data": CLASSES,
        "budget": {"ticks": 900},
        "batch_size": 16,
        "validation": {"fraction": 0.25, "every_ticks": 150},
        "checkpoint": {"every_ticks": 200, "every_seconds": None},
        "compute": {"engine": "native"},
    },
    # a state so large that it is saved in the background, while the training goes on
    "large": {
        "model": {"family": "mlp", "hidden": [840, 840], "dropout": 0.1},
        "data": CLASSES,
        "budget": {"ticks": 300},
        "batch_size": 4,
        "validation": {"fraction": 0.25, "every_ticks": 20},
        "checkpoint": {"every_ticks": 45, "every_seconds": None},
        "compute": {"engine": "eager"},
    },
    # diverges, and fails at the same tick each time
    "nonfinite": {
        "model": {"family": "mlp", "hidden": [8], "norm": "none"},
        "data": NUMBERS,
        "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9},
        "schedule": {"name": "linear", "warmup_ticks": 4900},
        "budget": {"ticks": 5000},
        "batch_size": 8,
        "checkpoint": {"every_ticks": 100, "every_seconds": None},
    },
}  # fmt: skip

#: for what takes many ticks to happen; ended by a request, never by itself in a round
ENDLESS: Spec = {
    **SPECS["replayed"], "budget": {"ticks": 100_000_000}, "compute": {"engine": "eager"},
}  # fmt: skip


def make_body(name: str) -> Spec:
    """Return the body of POST /v1/jobs for one of them."""
    return {**SPECS[name], "name": name}
