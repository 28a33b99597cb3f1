"""A job's whole state as files in a folder, and back. Knows tensors and JSON; no name of a folder.

`model.safetensors` has weights and buffers, `state.safetensors` every other tensor, `state.json`
every other number, `config.json` what is needed to build the net, and `model.py` builds it. Nothing
is pickled. Floats are written so that they are read back to the bit; one that is not finite becomes
a string.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs import fault_points
from jobs.spec.text import vocabulary_of
from models.export import source
from ticks.machine import versions
from ticks.optimizers import scalars
from ticks.state import Tensors, digest, digest_of, optimizer_tensors, restore, weights
from ticks.training import Best, Training

WEIGHTS, TENSORS = "model.safetensors", "state.safetensors"
NUMBERS, CONFIG, MODEL = "state.json", "config.json", "model.py"


class Saved(TypedDict):
    """A state on disk: its tick, its digest (16 hex digits) and the newest metrics."""

    tick: int
    state: str
    metrics: dict[str, float]


class Loaded(Saved):
    """A state read back, and what was decided up to its tick."""

    ended: str | None
    best: Best | None


class WrongState(ValueError):
    """Files that hold no state of this spec."""


@dataclass(frozen=True)
class State:
    """All that is saved of a training at one tick; its tensors may be the training's own."""

    tick: int
    metrics: dict[str, float]
    numbers: dict[str, Any]
    config: dict[str, Any]
    net: Tensors
    optimizer: Tensors
    rest: Tensors


def gather(training: Training) -> State:
    """Gather the state of where the training stands, sharing its memory."""
    trainer, spec = training.trainer, training.spec
    numbers = {
        "ended": training.ended,
        "best": training.best,
        "validated_at": training.validated_at,
        "rules": {"best": training.rules.best, "best_tick": training.rules.best_tick},
        "optimizer": {"name": spec.optimizer.name, **scalars(trainer.optimizer)},
        "versions": versions(),
    }
    ticks, values = training.rules.recent.arrays(training.at)
    rest = {"recent/ticks": torch.tensor(ticks), "recent/values": torch.tensor(values)}
    rest |= {f"scale/{name}": each for name, each in _scale(training).items()}
    return State(
        training.at, dict(training.metrics), numbers, _config(training), weights(trainer),
        optimizer_tensors(trainer), rest,
    )  # fmt: skip


def write(state: State, folder: Path) -> Saved:
    """Write a state into an empty folder, each file on disk."""
    digest = digest_of(state.net, state.optimizer)
    saved = Saved(tick=state.tick, state=digest, metrics=state.metrics)
    tensors = {f"optimizer/{name}": each for name, each in state.optimizer.items()}
    _write_tensors(folder / WEIGHTS, state.net)
    _write_tensors(folder / TENSORS, tensors | state.rest)
    _write_json(folder / NUMBERS, {**saved, **state.numbers})
    _write_json(folder / CONFIG, state.config)
    _write(folder / MODEL, source(state.config))
    return saved


def save(training: Training, folder: Path) -> Saved:
    """Write the state of where the training stands into an empty folder, each file on disk."""
    return write(gather(training), folder)


def load(training: Training, folder: Path) -> Loaded:
    """Put the state of a folder into a training of the same spec.

    The digest is computed anew, from what lies in memory afterwards. Raises WrongState,
    RuntimeError or KeyError when the files are another spec's.
    """
    numbers = json.loads((folder / NUMBERS).read_text())
    tensors = _group(load_file(folder / TENSORS))
    _check_scale(training, tensors.get("scale", {}))
    restore(
        training.trainer, load_file(folder / WEIGHTS), tensors.get("optimizer", {}), numbers["tick"]
    )
    rules, recent = training.rules, tensors["recent"]
    rules.best, rules.best_tick = numbers["rules"]["best"], numbers["rules"]["best_tick"]
    rules.recent.restore(recent["ticks"].numpy(), recent["values"].numpy())
    training.ended, training.best = numbers["ended"], numbers["best"]
    training.validated_at = numbers["validated_at"]
    training.metrics = {name: float(value) for name, value in numbers["metrics"].items()}
    return Loaded(
        tick=training.at, state=digest(training.trainer), metrics=training.metrics,
        ended=training.ended, best=training.best,
    )  # fmt: skip


def _config(training: Training) -> dict[str, Any]:
    """What is needed to build the net and to use it."""
    spec, scale = training.spec, training.scale
    config: dict[str, Any] = {
        "inputs": spec.profile.features,
        "outputs": spec.profile.outputs,
        "objective": spec.objective,
        "parameters": sum(parameter.numel() for parameter in training.trainer.parameters),
        "model": spec.model.model_dump(mode="json"),
        **training.about,
    }
    if scale is not None:
        config["scale"] = {name: values.tolist() for name, values in scale._asdict().items()}
    if spec.profile.text is not None and vocabulary_of(spec.model) == "characters":
        config["vocabulary"] = list(spec.profile.text.vocabulary)
    return config


def _scale(training: Training) -> dict[str, Tensor]:
    scale = {} if training.scale is None else training.scale._asdict()
    return {name: torch.tensor(values) for name, values in scale.items()}


def _group(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort "group/name" tensors by group."""
    groups: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        group, name = path.split("/", 1)
        groups.setdefault(group, {})[name] = tensor
    return groups


def _check_scale(training: Training, saved: Mapping[str, Tensor]) -> None:
    ours = _scale(training)
    if ours.keys() != saved.keys() or any(not torch.equal(ours[n], saved[n]) for n in ours):
        raise WrongState("the data was standardised by other means and deviations")


def _write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    fault_points.point("checkpoint:write")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    fault_points.point("checkpoint:fsync")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    _write(file, json.dumps(_plain(value), indent=1, allow_nan=False))


def _write(file: Path, text: str) -> None:
    with file.open("x", encoding="utf-8") as opened:
        fault_points.point("checkpoint:write")
        opened.write(text)
        opened.flush()
        fault_points.point("checkpoint:fsync")
        os.fsync(opened.fileno())


def _plain(value: Any) -> Any:
    """Return the value with every float that is not finite as a string that float() reads."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
