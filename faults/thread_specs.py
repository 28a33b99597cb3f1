"""The jobs of the hunt for bits that depend on threads: short, and large enough to be split.

torch splits tensors of more than 32,768 elements between threads: the largest weight has 65,536.
"""

from typing import Any

from jobs.spec.reading import read_spec

Spec = dict[str, Any]
TICKS = 3
MAX_PARAMETERS = 1 << 21

CLASSES: Spec = {
    "source": "synthetic", "kind": "classification", "samples": 256, "features": 64, "classes": 10,
}  # fmt: skip
NUMBERS: Spec = {"source": "synthetic", "kind": "regression", "samples": 256, "features": 64}
WINDOWS: Spec = {"source": "synthetic", "kind": "sequence", "samples": 64, "features": 64}
MOMENTUM: Spec = {"name": "sgd", "lr": 0.05, "momentum": 0.9}


def mlp(norm: str, activation: str, dropout: float = 0.0) -> Spec:
    """Return a net of two hidden layers."""
    return {
        "family": "mlp", "hidden": [256, 256], "norm": norm, "activation": activation,
        "dropout": dropout,
    }  # fmt: skip


def transformer(norm: str, activation: str, position: str = "pre", **more: Any) -> Spec:
    """Return a language model of one layer."""
    return {
        "family": "transformer_lm", "layers": 1, "heads": 4, "width": 128, "norm": norm,
        "activation": activation, "norm_position": position, **more,
    }  # fmt: skip


def tables(model: Spec, optimizer: Spec, data: Spec = CLASSES, **more: Any) -> Spec:
    """Return a job on rows."""
    return {"model": model, "optimizer": optimizer, "data": data, "batch_size": 128, **more}


def texts(model: Spec, optimizer: Spec, **more: Any) -> Spec:
    """Return a job on a text."""
    return {"model": model, "optimizer": optimizer, "data": WINDOWS, "batch_size": 8, **more}


ADAM: Spec = {"name": "adam", "weight_decay": 0.1}
ADAMW: Spec = {"name": "adamw"}
CLIPPED: Spec = {"clip_norm": 0.5, "record": ["loss", "grad_norm"], "micro_batches": 2}

SPECS: dict[str, Spec] = {
    "mlp adamw layer relu": tables(mlp("layer", "relu"), ADAMW),
    "mlp adamw rms gelu numbers": tables(mlp("rms", "gelu"), ADAMW, NUMBERS),
    "mlp adamw none sigmoid dropout": tables(mlp("none", "sigmoid", 0.1), ADAMW),
    "mlp adam layer+batch silu clipped": tables(mlp("layer+batch", "silu"), ADAM, **CLIPPED),
    "mlp sgd group relu numbers": tables(mlp("group", "relu"), {"name": "sgd"}, NUMBERS),
    "mlp momentum batch tanh": tables(mlp("batch", "tanh"), MOMENTUM),
    "mlp nesterov layer gelu": tables(mlp("layer", "gelu"), {**MOMENTUM, "nesterov": True}),
    "mlp adamw layer relu bfloat16": tables(mlp("layer", "relu"), ADAMW),
    "mlp momentum rms tanh bfloat16": tables(mlp("rms", "tanh"), MOMENTUM, NUMBERS),
    "mlp adamw layer relu graph": tables(mlp("layer", "relu"), ADAMW),
    "lm adamw layer gelu": texts(transformer("layer", "gelu"), ADAMW),
    "lm adam rms silu post": texts(transformer("rms", "silu", "post"), ADAM, **CLIPPED),
    "lm momentum none tanh untied": texts(
        transformer("none", "tanh", tied_embeddings=False, dropout=0.1), MOMENTUM
    ),
    "lm adamw layer gelu bfloat16": texts(transformer("layer", "gelu"), ADAMW),
    "lm sgd rms relu bfloat16": texts(transformer("rms", "relu"), {"name": "sgd"}),
}


def make_spec(name: str, threads: int) -> Spec:
    """Return the spec that a trainer gets; precision and engine stand in the name."""
    compute = {
        "threads": threads,
        "precision": "bfloat16" if "bfloat16" in name else "float32",
        "engine": "graph" if "graph" in name else "eager",
    }
    body = {**SPECS[name], "budget": {"ticks": TICKS}, "compute": compute}
    return read_spec(body, max_parameters=MAX_PARAMETERS).to_stored()
