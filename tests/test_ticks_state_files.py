"""The content of a checkpoint's files, for those who download them."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.build import build
from models.mlp.config import MlpConfig
from tests.test_ticks_exact_resume import SPECS
from tests.training_records import (
    read_small_spec,
    resume_training,
    run_and_record,
    start_training,
    train_saving_at,
)
from ticks import state_files


def strictly(file: Path) -> dict:
    """Read JSON as the standard has it: no NaN."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(file.read_text(), parse_constant=refuse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of tick 20 of a training with all kinds of state."""
    training = start_training(SPECS["batch norm"])
    run_and_record(training, until=20)
    state_files.save(training, tmp_path)
    return tmp_path


def test_a_checkpoint_has_six_files_and_nothing_pickled(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json", "model.py", "model.safetensors", "report.json", "state.json",
        "state.safetensors",
    ]  # fmt: skip


def test_config_and_weights_alone_give_the_very_net(folder: Path) -> None:
    training = start_training(SPECS["batch norm"])
    run_and_record(training, until=20)
    config = strictly(folder / "config.json")
    model = MlpConfig.model_validate(config["model"])
    net = build(model, config["inputs"], config["outputs"], seed=99)
    net.load_state_dict(load_file(folder / "model.safetensors"))
    x = torch.randn(9, config["inputs"])
    assert torch.equal(net.eval()(x), training.trainer.net.eval()(x))
    assert config["parameters"] == model.num_parameters(config["inputs"], config["outputs"])


def test_the_weights_file_has_batch_norms_averages(folder: Path) -> None:
    names = load_file(folder / "model.safetensors").keys()
    assert {"1.running_mean", "1.running_var", "1.num_batches_tracked"} <= names


def test_the_state_names_its_tick_and_what_was_measured(folder: Path) -> None:
    state = strictly(folder / "state.json")
    assert state["tick"] == 20 and len(state["state"]) == 16
    assert state["optimizer"]["name"] == "adamw" and "torch" in state["versions"]
    assert state["metrics"].keys() == {"val_loss", "val_r2", "val_mae", "val_rmse"}
    assert state["best"]["metric"] == "val_loss" and state["best"]["metrics"] == state["metrics"]


def test_numbers_that_are_not_finite_are_kept_and_the_json_stays_json(tmp_path: Path) -> None:
    spec = SPECS["sgd"]
    training = start_training(spec)
    run_and_record(training, until=8)
    training.metrics = {"val_loss": math.nan, "val_accuracy": -math.inf}
    state_files.save(training, tmp_path)
    assert strictly(tmp_path / "state.json")["metrics"]["val_loss"] == "nan"
    loaded = resume_training(spec, tmp_path).metrics
    assert math.isnan(loaded["val_loss"]) and loaded["val_accuracy"] == -math.inf


def test_the_standardisation_is_kept(tmp_path: Path) -> None:
    training = start_training(SPECS["example"])
    state_files.save(training, tmp_path)
    tensors, scale = load_file(tmp_path / "state.safetensors"), training.scaling
    assert scale is not None
    assert torch.equal(tensors["scale/mean"], torch.tensor(scale.mean))
    assert torch.equal(tensors["scale/deviation"], torch.tensor(scale.deviation))


def test_a_state_of_other_data_is_refused(tmp_path: Path) -> None:
    state_files.save(start_training(SPECS["example"]), tmp_path)
    other = read_small_spec(
        data={"source": "example", "name": "digits"}, validation={"fraction": 0.5}
    )
    with pytest.raises(state_files.WrongState):
        state_files.load(start_training(other), tmp_path)


def test_a_state_of_another_net_is_refused(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="size mismatch|Missing key"):
        state_files.load(
            start_training(read_small_spec(model={"family": "mlp", "hidden": [9]})), folder
        )


def test_saving_never_writes_over_a_file(folder: Path) -> None:
    with pytest.raises(FileExistsError):
        state_files.save(start_training(SPECS["batch norm"]), folder)


def test_a_resume_between_two_validations_saves_the_same_report_to_the_byte(tmp_path: Path) -> None:
    spec = SPECS["weighted classes"]  # validated every 8 ticks
    saved = {tick: folder for tick, folder, _ in train_saving_at(spec, (4, 12, 14), tmp_path)}
    resumed = resume_training(spec, saved[12])
    run_and_record(resumed, until=14)
    (folder := tmp_path / "resumed").mkdir()
    state_files.save(resumed, folder)
    reports = [(path / "report.json").read_bytes() for path in (saved[14], folder)]
    assert reports[0] == reports[1] and strictly(folder / "report.json")["validation"]["tick"] == 8
    assert not (saved[4] / "report.json").exists()
