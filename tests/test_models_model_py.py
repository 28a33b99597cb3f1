"""model.py of a checkpoint: in a process with torch and safetensors alone, the very net."""

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from jobs.spec.training import Compute
from jobs.store.connection import Store
from models.build import build
from models.checkpoint_source import render_model_py
from models.families import FAMILIES, ModelConfig
from tests.datasets import csv_of
from tests.test_models_configs import configs as mlps
from tests.test_models_transformer import configs as transformers
from tests.test_ticks_dataset_training import Home, table
from tests.test_ticks_exact_resume import SPECS
from tests.texts import lm_spec, random_text, write_texts
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks import machine, state_files
from ticks.training import TrainingRun

#: loads model.py of each folder below the current one and compares, in a process of its own
ALONE = """
import importlib.abc, importlib.util, sys, torch
from pathlib import Path

OURS = {"models", "jobs", "ticks", "workers", "api", "serving"}
OTHERS = {"pydantic", "numpy", "flask", "redis", "celery", "tickforge_client"}
assert not any(importlib.util.find_spec(name) for name in OURS), sys.path

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OURS | OTHERS:
            raise ImportError(name + " is not there")

sys.meta_path.insert(0, Nothing())
for name in OURS | OTHERS:
    sys.modules.pop(name, None)
torch.set_num_threads(1)
from safetensors.torch import load_file

count = 0
for folder in sorted(Path().iterdir()):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    tried = load_file(folder / "tried.safetensors")
    inputs = tried["inputs"]
    if "rows" in tried:
        assert torch.equal(model.prepare(tried["rows"]), inputs), folder
    network = model.load()
    assert not network.training
    with torch.no_grad():
        assert torch.equal(network(inputs), tried["outputs"]), folder
    count += 1
print(count, "equal")
"""


def alone(folder: Path) -> str:
    """Run ALONE in a folder of checkpoints; gives what it printed."""
    command = [sys.executable, "-I", "-B", "-W", "ignore", "-c", ALONE]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def perturb(net: nn.Module) -> None:
    """Make all weights and averages other than any that a net is built with."""
    generator = torch.Generator().manual_seed(1)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))


def write(folder: Path, config: ModelConfig, inputs: int, outputs: int) -> None:
    """Write what a checkpoint has of a net, and what the net makes of some inputs."""
    net = build(config, inputs, outputs, 3)
    perturb(net)
    known = {"inputs": inputs, "outputs": outputs, "objective": "any", "parameters": 1}
    folder.mkdir()
    (folder / "model.py").write_text(
        render_model_py({**known, "model": config.model_dump(mode="json")})
    )
    save_file(net.state_dict(), folder / "model.safetensors")
    x = torch.randn(5, inputs, generator=torch.Generator().manual_seed(2))
    if config.family == "transformer_lm":
        x = (x.abs() * 100).long() % outputs
    with torch.no_grad():
        given = net.eval()(x)
    save_file({"inputs": x, "outputs": given}, folder / "tried.safetensors")


@settings(
    max_examples=1,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # a smaller example would be a process of its own
)
@given(st.lists(mlps | transformers(), min_size=24, max_size=24), st.data())
def test_any_net_is_built_and_loaded_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, configs: list[Any], data: st.DataObject
) -> None:
    machine.configure_torch(1)
    home = tmp_path_factory.mktemp("nets")
    for number, config in enumerate(configs):
        sizes = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
        write(home / f"{number:02}", config, *sizes)
    assert alone(home) == "24 equal"


def small_trainings() -> dict[str, TrainingRun]:
    """Trainings of every family in every precision, and of nets with more than weights."""
    specs = {name: SPECS[name] for name in ("batch norm", "example")}
    for precision in get_args(Compute.model_fields["precision"].annotation):
        compute = {"precision": precision, "engine": "eager"}
        hidden = {"family": "mlp", "hidden": [16, 8], "dropout": 0.1}
        specs[f"mlp {precision}"] = read_small_spec(model=hidden, compute=compute)
        specs[f"transformer_lm {precision}"] = lm_spec(model={"dropout": 0.1}, compute=compute)
    trained = {f"{spec.model.family} {spec.compute.precision}" for spec in specs.values()}
    assert trained >= {f"{family} bfloat16" for family in FAMILIES}
    return {name: start_training(spec) for name, spec in specs.items()}


@torch.no_grad()
def test_a_trainings_checkpoint_is_its_net_bit_for_bit_in_every_precision(tmp_path: Path) -> None:
    home = tmp_path / "checkpoints"
    trainings = small_trainings()
    for name, training in trainings.items():
        with torch.enable_grad():
            run_and_record(training, until=20)
        folder = home / name.replace(" ", "-")
        folder.mkdir(parents=True)
        state_files.save(training, folder)
        rows = next(iter(training.trainer.batches.rows.blocks())).inputs[:9]
        training.trainer.net.eval()
        tried = {"inputs": rows, "outputs": training.trainer.forward(rows)}
        if training.scaling is not None:
            table = torch.tensor(rows.double().numpy() * training.scaling.deviation)
            tried["rows"] = table + torch.tensor(training.scaling.mean)
            back = (tried["rows"].numpy() - training.scaling.mean) / training.scaling.deviation
            tried["inputs"] = torch.tensor(back).float()
            tried["outputs"] = training.trainer.forward(tried["inputs"])
        save_file({name: t.contiguous() for name, t in tried.items()}, folder / "tried.safetensors")
        if name.endswith("bfloat16"):
            assert not torch.equal(tried["outputs"], training.trainer.net(tried["inputs"]))
            with torch.enable_grad():  # as people use it
                assert torch.equal(imported(folder).load()(tried["inputs"]), tried["outputs"])
    assert alone(home) == f"{len(trainings)} equal"


def test_a_net_of_bfloat16_has_the_names_copies_and_training_mode_of_any_other(
    tmp_path: Path,
) -> None:
    spec = read_small_spec(compute={"precision": "bfloat16", "engine": "eager"})
    training = start_training(spec)
    state_files.save(training, tmp_path)
    network = imported(tmp_path).load()
    assert network.state_dict().keys() == training.trainer.net.state_dict().keys()
    copied, inputs = copy.deepcopy(network), torch.ones(2, spec.profile.features)
    with torch.no_grad():
        assert torch.equal(copied(inputs), network(inputs))
        next(network.parameters()).add_(1.0)
        assert not torch.equal(copied(inputs), network(inputs))
    network.train()(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def imported(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported", folder / "model.py")
    assert spec is not None and spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    return model


@pytest.mark.parametrize("vocabulary", ["bytes", "characters"])
def test_a_language_models_file_reads_and_writes_text(vocabulary: str, tmp_path: Path) -> None:
    text = random_text(300)
    home = write_texts(tmp_path, text=text)
    training = start_training(
        lm_spec(text=text, model={"vocabulary": vocabulary, "dropout": 0.1}), home
    )
    run_and_record(training, until=5)
    folder = tmp_path / "saved"
    folder.mkdir()
    state_files.save(training, folder)
    model = imported(folder)
    assert model.decode(model.encode(text[:50])) == text[:50]
    network = model.load(folder)
    written = model.generate(network, text[:3], length=20, seed=4)
    assert written.startswith(text[:3]) and written == model.generate(network, text[:3], 20, 4)
    assert len(written) == 23 or vocabulary == "bytes"
    tokens = model.encode(text)[None, :8]
    assert torch.equal(network(tokens), training.trainer.net.eval()(tokens))


def test_the_file_says_how_it_is_used_and_imports_nothing_else() -> None:
    for family in FAMILIES.values():
        config = family.config(family=family.name)
        known = {"inputs": 3, "outputs": 2, "objective": "mse", "parameters": 1234}
        text = render_model_py(known | {"model": config.model_dump(mode="json")})
        code = compile(text, "model.py", "exec")
        assert "model.load()" in str(code.co_consts[0]) and "1,234" in str(code.co_consts[0])
        lines = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
        roots = {line.split()[1].split(".")[0] for line in lines}
        allowed = {"torch", "safetensors", *sys.stdlib_module_names}
        assert roots <= allowed and len(set(lines)) == len(lines)


def test_the_constants_are_those_of_config_json(tmp_path: Path) -> None:
    state_files.save(start_training(SPECS["example"]), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    model = imported(tmp_path)
    assert config == model.CONFIG and len(config["scale"]["mean"]) == config["inputs"]
    weights = load_file(tmp_path / "model.safetensors")
    assert weights.keys() == model.build().state_dict().keys()


def test_records_of_a_table_become_the_rows_that_were_trained_on(
    store: Store, tmp_path: Path
) -> None:
    home = Home(store, tmp_path / "artifacts")
    records = table(40)
    training = home.training(home.spec(home.add(csv_of(records))))
    run_and_record(training, until=5)
    folder = tmp_path / "saved"
    folder.mkdir()
    state_files.save(training, folder)
    model = imported(folder)
    rows = model.prepare(model.encode(records))
    assert torch.equal(rows, training.trainer.batches.rows.inputs)
    outputs = model.load(folder)(rows)
    assert torch.equal(outputs, training.trainer.net.eval()(rows))
    assert set(model.class_names(outputs)) <= {"late", "soon"}
    with pytest.raises(ValueError, match="colour: 'pink' is none of"):
        model.encode([records[0] | {"colour": "pink"}])


def test_classes_are_named_where_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.mlp import inference

    outputs = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    monkeypatch.setattr(inference, "CONFIG", {"outputs": 2})
    assert inference.class_names(outputs) == ["1", "0"]
    monkeypatch.setattr(inference, "CONFIG", {"outputs": 2, "classes": ["no", "yes"]})
    assert inference.class_names(outputs) == ["yes", "no"]
