"""model.onnx: the same predictions in onnxruntime, in a file that says nothing of its making."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.spec import onnx_limits
from models.checkpoint_source import make_module
from models.families import FAMILIES
from models.mlp.config import MlpConfig
from tests.answering import Answers, answering
from tests.needs import ONNX, needs
from tests.test_models_predictions import write_checkpoint
from tests.test_models_transformer import lm
from ticks.answers import onnx_export
from ticks.process import answering as process

pytestmark = needs(ONNX)


@pytest.fixture
def answers() -> Iterator[Answers]:
    with answering() as answers:
        yield answers


def mlp_config(**changes: Any) -> dict[str, Any]:
    """Return the config.json of an mlp of classes, or with `target_scale` of numbers."""
    model = {"family": "mlp", "hidden": [16, 8], **changes.pop("model", {})}
    objective = "mse" if "target_scale" in changes else "cross_entropy"
    return {
        "inputs": 5, "outputs": 3, "parameters": 1, "objective": objective, "threads": 1,
        "scale": {"mean": [1e9] * 5, "deviation": [7.0] * 5},
        "model": MlpConfig.model_validate(model).model_dump(mode="json"), **changes,
    }  # fmt: skip


def export(answers: Answers, folder: Path, output: Path) -> bytes:
    reply = answers.ask("export_onnx", folder, output=str(output))
    content = output.read_bytes()
    assert reply.kind == "answered", reply
    assert reply.header["result"] == {"bytes": len(content), "opset": 20}
    return content


def run_onnx(content: bytes, **inputs: Any) -> Any:
    """Return what onnxruntime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, inputs)
    return outputs


@pytest.mark.slow
def test_onnxruntime_predicts_what_model_py_does_from_a_file_that_tells_no_path(
    answers: Answers, tmp_path: Path
) -> None:
    config = mlp_config(model={"norm": "layer", "activation": "gelu", "dropout": 0.1})
    folder = write_checkpoint(tmp_path / "net", config)
    rows = 1e9 + 7 * np.random.default_rng(1).standard_normal((40, 5))
    content = export(answers, folder, tmp_path / "model.onnx")

    predicted = [
        list(prediction["probabilities"].values())
        for prediction in answers.predict(folder, inputs=rows.tolist())
    ]
    for count in (1, 40):
        computed = run_onnx(content, rows=rows[:count])
        assert np.abs(computed - np.array(predicted[:count])).max() <= 1e-6
    for added in ("stack_trace", "class_hierarchy", str(Path.cwd()), onnx_export.__file__):
        assert added.encode() not in content


@pytest.mark.slow
def test_values_are_in_the_targets_units_and_two_exports_are_equal(
    answers: Answers, tmp_path: Path
) -> None:
    scale = {"mean": [1e5, 0.0, -3.0], "deviation": [2e3, 1.0, 0.5]}
    folder = write_checkpoint(tmp_path / "net", mlp_config(target_scale=scale))
    rows = 1e9 + 7 * np.random.default_rng(1).standard_normal((9, 5))
    contents = [export(answers, folder, tmp_path / f"{number}.onnx") for number in range(2)]

    assert contents[0] == contents[1]
    values = [row["values"] for row in answers.predict(folder, inputs=rows.tolist())]
    difference = np.abs(run_onnx(contents[0], rows=rows) - np.array(values))
    assert (difference / scale["deviation"]).max() <= 1e-6
    import onnx

    (entry,) = onnx.load_from_string(contents[0]).metadata_props
    assert entry.key == "config"
    assert json.loads(entry.value) == json.loads((folder / "config.json").read_text())


@pytest.mark.slow
def test_a_language_model_gives_the_logits_of_any_number_of_tokens(
    answers: Answers, tmp_path: Path
) -> None:
    config = {
        "inputs": 7, "outputs": 9, "parameters": 1, "objective": "language_model", "threads": 1,
        "vocabulary": [*"abcdefghi"], "model": lm(vocabulary="characters").model_dump(mode="json"),
    }  # fmt: skip
    folder = write_checkpoint(tmp_path / "net", config)
    content = export(answers, folder, tmp_path / "model.onnx")
    network = make_module(config).load(folder)

    for rows, tokens in itertools.product((1, 3), (1, 4, 7)):
        numbers = torch.arange(rows * tokens).reshape(rows, tokens) % 9
        with torch.no_grad():
            logits = network(numbers).numpy()
        assert np.abs(run_onnx(content, tokens=numbers.numpy()) - logits).max() <= 1e-5


def test_what_cannot_be_exported_is_refused_with_the_reason(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = write_checkpoint(tmp_path / "half", mlp_config(precision="bfloat16"))
    whole = write_checkpoint(tmp_path / "whole", mlp_config())
    output = str(tmp_path / "model.onnx")

    def reason(folder: Path) -> str:
        ((_, detail),) = answers.refusal("export_onnx", folder, output=output)
        return detail

    assert "trained in float32" in reason(half)
    monkeypatch.setattr(onnx_limits, "MAX_BYTES", 100)
    assert "at most 100 bytes" in reason(whole)
    monkeypatch.setattr(onnx_limits, "has_packages", lambda: False)
    assert "requirements-onnx.txt" in reason(whole)
    assert not Path(output).exists() and process.SLICE_SECONDS > 0
    assert FAMILIES.keys() == {"mlp", "transformer_lm"}, "a new family has a form or a reason"
