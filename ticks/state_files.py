"""Write a job's whole state to files in a folder, and load it. Knows no folder's name.

`model.safetensors` holds weights and buffers, `state.safetensors` all other tensors, `state.json`
all other numbers, `config.json` what is needed to build the net, and `model.py` the code that does.
`report.json`, once there was a validation or the test, says what their metrics do not.
Nothing is pickled. Floats are written so that they are read back to the bit; one that is not finite
becomes a string.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs import fault_points
from models.checkpoint_source import render_model_py
from ticks.best import BestMetric
from ticks.machine import versions
from ticks.nonfinite import Failure
from ticks.optimizers import hyperparameters
from ticks.state import Tensors, digest_tensors, optimizer_tensors, restore, state_digest, weights
from ticks.stopping import StopRules
from ticks.training import NO_TICK, TrainingRun

WEIGHTS, TENSORS = "model.safetensors", "state.safetensors"
NUMBERS, CONFIG, MODEL = "state.json", "config.json", "model.py"
REPORT = "report.json"


class SaveResult(TypedDict):
    """A state on disk: its tick, its digest (`state`, 16 hex digits) and the newest metrics."""

    tick: int
    state: str
    metrics: dict[str, float]


class LoadResult(SaveResult):
    """A loaded state, with the end (if any) and the best of the training up to its tick.

    `end_failure`: why an end there is none that succeeds, if it is so.
    """

    end_reason: str | None
    end_failure: Failure | None
    best: BestMetric | None


class WrongState(ValueError):
    """The files' state is not of this spec."""


@dataclass(frozen=True)
class TrainingState:
    """All that is saved of a training at one tick; its tensors may share the training's memory."""

    tick: int
    metrics: dict[str, float]
    numbers: dict[str, Any]
    config: dict[str, Any]
    report: dict[str, Any]
    net: Tensors
    optimizer: Tensors
    extra_tensors: Tensors


def capture(training: TrainingRun) -> TrainingState:
    """Return the training's current state, sharing its memory."""
    trainer, spec = training.trainer, training.spec
    numbers = {
        "ended": training.end_reason,
        "best": training.best,
        "validated_at": training.validated_at,
        "tested_at": training.tested_at,
        "rules": _capture_rules(training.stop_rules),
        "open_state": training.open_state,
        "skipped_in_a_row": training.nonfinite_rule.skipped_in_a_row,
        "has_finite_loss": training.nonfinite_rule.has_finite_loss,
        "optimizer": {
            "name": spec.optimizer.name,
            "decay": spec.optimizer.decay,
            **hyperparameters(trainer.optimizer),
        },
        "versions": versions(),
    }
    ticks, values = training.stop_rules.rolling_window.trim(training.ticks_done)
    extra = {"recent/ticks": torch.tensor(ticks), "recent/values": torch.tensor(values)}
    extra |= {f"scale/{name}": tensor for name, tensor in _scaling_tensors(training).items()}
    extra |= {f"best/{name}": tensor for name, tensor in _best_weights(training).items()}
    return TrainingState(
        tick=training.ticks_done,
        metrics=dict(training.metrics),
        numbers=numbers,
        config=training.net_config,
        report=training.reports.render(),
        net=weights(trainer),
        optimizer=optimizer_tensors(trainer),
        extra_tensors=extra,
    )


def write(state: TrainingState, folder: Path) -> SaveResult:
    """Write a state into an empty folder and fsync each file; the caller fsyncs the folder.

    Raises OSError or SafetensorError where the disk refuses it.
    """
    digest = digest_tensors(state.net, state.optimizer)
    result = SaveResult(tick=state.tick, state=digest, metrics=state.metrics)
    tensors = {f"optimizer/{name}": tensor for name, tensor in state.optimizer.items()}
    _write_tensors(folder / WEIGHTS, state.net)
    _write_tensors(folder / TENSORS, tensors | state.extra_tensors)
    _write_json(folder / NUMBERS, {**result, **state.numbers})
    _write_json(folder / CONFIG, state.config)
    _write(folder / MODEL, render_model_py(state.config))
    if state.report:
        _write(folder / REPORT, json.dumps(state.report, allow_nan=False))
    return result


def save(training: TrainingRun, folder: Path) -> SaveResult:
    """Write the training's current state into an empty folder: `capture`, then `write`."""
    return write(capture(training), folder)


def load(training: TrainingRun, folder: Path) -> LoadResult:
    """Load the state of a folder into a training of the same spec.

    The digest is computed from the tensors in memory afterwards. Raises WrongState, RuntimeError or
    KeyError where the files are another spec's.
    """
    numbers = json.loads((folder / NUMBERS).read_text())
    tensors = _group_by_prefix(load_file(folder / TENSORS))
    _check_scaling(training, tensors.get("scale", {}))
    net, optimizer = load_file(folder / WEIGHTS), tensors.get("optimizer", {})
    restore(training.trainer, net, optimizer, numbers["tick"])
    training.forget_trial()
    _restore_rules(training.stop_rules, numbers["rules"], tensors["recent"])
    training.end_reason, training.best = numbers["ended"], numbers["best"]
    training.validated_at = numbers["validated_at"]
    training.tested_at = numbers.get("tested_at")  # states of earlier builds have none
    training.open_state = numbers.get("open_state")
    training.nonfinite_rule.skipped_in_a_row = numbers.get("skipped_in_a_row", 0)
    training.nonfinite_rule.has_finite_loss |= numbers.get("has_finite_loss", True)
    _restore_best_weights(training, tensors.get("best", {}))
    training.metrics = {name: float(value) for name, value in numbers["metrics"].items()}
    if (report := folder / REPORT).exists():  # states of earlier builds have none
        sections = json.loads(report.read_text())
        training.reports.restore(sections, training.validated_at, training.tested_at)
    return LoadResult(
        tick=training.ticks_done, state=state_digest(training.trainer), metrics=training.metrics,
        end_reason=training.end_reason, end_failure=training.end_failure, best=training.best,
    )  # fmt: skip


def _capture_rules(rules: StopRules) -> dict[str, Any]:
    saved: dict[str, Any] = {
        "best": rules.best,
        "best_tick": rules.best_tick,
        "converged_after": rules.converged_after,
    }
    if rules.loss_mean is not None:
        saved["losses"] = [rules.loss_mean.total, rules.loss_mean.count]
    return saved


def _restore_rules(rules: StopRules, saved: Mapping[str, Any], recent: Tensors) -> None:
    """Restore the stop rules; states of earlier builds lack the later numbers.

    `window_before`, which a fork writes: values from this tick on are not taken.
    """
    rules.best, rules.best_tick = saved["best"], saved["best_tick"]
    rules.converged_after = saved.get("converged_after", 0)
    if rules.loss_mean is not None and "losses" in saved:  # a fork's rules may be its own
        rules.loss_mean.total, rules.loss_mean.count = saved["losses"]
    ticks, values = recent["ticks"].numpy(), recent["values"].numpy()
    count = int(np.searchsorted(ticks, saved.get("window_before", NO_TICK)))
    rules.rolling_window.restore(ticks[:count], values[:count])


def _best_weights(training: TrainingRun) -> Tensors:
    """Return the best weights, which the test at the end reads; none if the state has them."""
    is_best = training.best is not None and training.best["tick"] == training.ticks_done
    final_test = training.final_test
    return {} if final_test is None or is_best else final_test.best_weights


def _restore_best_weights(training: TrainingRun, saved: Tensors) -> None:
    final_test, best = training.final_test, training.best
    if final_test is None:
        return
    final_test.restore_best({} if best is None else saved)  # a fork may have another best
    if best is not None and best["tick"] == training.ticks_done:
        final_test.keep_best()


def _scaling_tensors(training: TrainingRun) -> dict[str, Tensor]:
    scalings = {"": training.scaling, "target_": training.target_scaling}
    return {
        prefix + name: torch.tensor(values)
        for prefix, scaling in scalings.items()
        if scaling is not None
        for name, values in scaling._asdict().items()
    }


def _group_by_prefix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Turn {"group/name": tensor} into {group: {name: tensor}}."""
    groups: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        group, name = path.split("/", 1)
        groups.setdefault(group, {})[name] = tensor
    return groups


def _check_scaling(training: TrainingRun, saved: Mapping[str, Tensor]) -> None:
    expected = _scaling_tensors(training)
    is_same = expected.keys() == saved.keys()
    if not is_same or any(not torch.equal(expected[name], saved[name]) for name in expected):
        raise WrongState("the data was standardised by other means and deviations")


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    fault_points.hit("checkpoint:write")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    fault_points.hit("checkpoint:fsync")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    _write(path, json.dumps(_json_value(value), indent=1, allow_nan=False))


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as stream:
        fault_points.hit("checkpoint:write")
        stream.write(text)
        stream.flush()
        fault_points.hit("checkpoint:fsync")
        os.fsync(stream.fileno())


def _json_value(value: Any) -> Any:
    """Return the value with every float that is not finite as a string that float() reads."""
    if isinstance(value, Mapping):
        return {name: _json_value(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
