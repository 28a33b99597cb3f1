"""Predictions of model.py: a row's bits in any company, the service's bits, and sampled texts."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from models.checkpoint_source import make_module, render_model_py
from models.transformer_lm import inference as language
from tests.answering import checkpoint_files
from tests.dataset_home import import_model_file
from tests.test_models_configs import configs as mlps
from tests.test_models_transformer import lm
from ticks import machine
from ticks.answers.nets import CheckpointFiles, LoadedNet, load_net
from ticks.answers.predictions import predict
from ticks.answers.work import JsonDict
from ticks.trainer import show_nothing

CLASSES = ("blue", "green", "red")
#: config.json of a net of two numbers without names
ARRAYS: dict[str, Any] = {
    "inputs": 2, "outputs": 1, "parameters": 1, "objective": "mse",
    "model": {"family": "mlp", "hidden": [3], "norm": "none", "activation": "relu",
              "dropout": 0.0},
}  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Columns of a table: numbers, some of which may be missing, times and categories."""
    kinds = draw(st.lists(st.sampled_from(["number", "gaps", "datetime", "category"]), max_size=7))
    table: list[dict[str, Any]] = [{"name": "c", "type": "number"}]
    for at, kind in enumerate(kinds):
        column: dict[str, Any] = {"name": f"c{at}", "type": "number" if kind == "gaps" else kind}
        if kind == "gaps":
            column |= {"fill": 0.25, "indicator": True}
        if kind == "category":
            column |= {"classes": [*CLASSES, ""], "unseen": "ignore"}
        table.append(column)
    return table


@st.composite
def table_configs(draw: st.DrawFn) -> dict[str, Any]:
    """Return the config.json of an mlp that was trained on a table with named columns."""
    table, outputs = draw(columns()), draw(st.integers(1, 4))
    is_class = draw(st.booleans())
    inputs = sum({"category": 4}.get(c["type"], 1 + ("fill" in c)) for c in table)
    config: dict[str, Any] = {
        "inputs": inputs, "outputs": outputs, "parameters": 1, "columns": table, "target": "y",
        "objective": "cross_entropy" if is_class else "mse", "threads": 1,
        "model": draw(mlps).model_dump(mode="json"),
        "scale": {"mean": [0.125] * inputs, "deviation": [0.7] * inputs},
    }  # fmt: skip
    if draw(st.booleans()):
        config["precision"] = "bfloat16"
    if not is_class and draw(st.booleans()):
        config["target_scale"] = {"mean": [1e4] * outputs, "deviation": [333.3] * outputs}
    return config


def value_of(column: dict[str, Any], draw: random.Random) -> Any:
    if column["type"] == "category":
        return draw.choice([*CLASSES, None, "pink"])
    if column["type"] == "datetime":
        return f"1970-01-01T00:00:{draw.randrange(60):02}Z"
    return None if "fill" in column and draw.random() < 0.3 else draw.gauss(0, 2)


def write_checkpoint(folder: Path, config: dict[str, Any]) -> Path:
    """Write a net's files, with weights of its own."""
    network = make_module(config).build()
    generator = torch.Generator().manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.py").write_text(render_model_py(config))
    return folder


def answer(net: LoadedNet, **request: Any) -> list[JsonDict]:
    """Return the predictions of the answering process."""
    steps = predict(net, request)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            predictions: list[JsonDict] = end.value["predictions"]
            return predictions


# torch's remark that RMSNorm of bfloat16 has no kernel that fuses it
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(table_configs(), st.integers(1, 30), st.integers(0, 999))
def test_a_row_has_the_same_bits_in_any_company_and_from_the_service(
    tmp_path_factory: pytest.TempPathFactory,
    config: dict[str, Any],
    count: int,
    seed: int,
) -> None:
    draw = random.Random(seed)
    machine.configure_torch(1)
    folder = write_checkpoint(tmp_path_factory.mktemp("net") / "checkpoint", config)
    model = import_model_file(folder)
    network = model.load()
    table = config["columns"]
    records = [{c["name"]: value_of(c, draw) for c in table} for _ in range(count)]
    alone = [model.predict([record], network)[0] for record in records]

    order = draw.choices(range(count), k=2 * count)
    company = model.predict([records[at] for at in order], network)
    assert company == [alone[at] for at in order]
    inputs = model.encode(records)
    assert model.predict(inputs, network) == model.predict(inputs.tolist(), network) == alone
    files = CheckpointFiles(**checkpoint_files(folder))
    net = load_net(files, config["threads"], show_nothing)
    assert answer(net, rows=records) == answer(net, inputs=inputs.tolist()) == alone
    for prediction in alone:
        if config["objective"] == "cross_entropy":
            likeliest = max(prediction["probabilities"].values())
            assert prediction["probabilities"][prediction["class"]] == likeliest
        else:
            assert len(prediction.get("values", [0])) == config["outputs"]


def test_a_net_of_arrays_takes_rows_of_its_inputs_alone() -> None:
    model = make_module(ARRAYS)
    network = model.build().eval()

    assert model.predict([], network) == []
    assert model.predict([(1, 2.5)], network) == model.predict(torch.tensor([[1, 2.5]]), network)
    with pytest.raises(ValueError, match=r"rows of 2 numbers, not of shape \[1, 3\]"):
        model.predict([[1, 2, 3]], network)
    with pytest.raises(ValueError, match="trained on arrays without column names: 2 numbers"):
        model.predict([{"a": 1, "b": 2}], network)


def test_a_net_computes_on_the_threads_of_its_training() -> None:
    machine.configure_torch(1)
    model = make_module({**ARRAYS, "threads": 3})
    network, threads = model.build().eval(), []
    network.register_forward_hook(lambda *_: threads.append(torch.get_num_threads()))

    model.predict([[1, 2]], network)
    make_module(ARRAYS).predict([[1, 2]], network)  # of an earlier build, which says none
    assert (threads, torch.get_num_threads()) == ([3, 1], 1)


@pytest.fixture
def writer() -> Any:
    """A language model of a few characters, and its module."""
    config = {
        "inputs": 6, "outputs": 8, "parameters": 1, "objective": "language_model",
        "model": lm(vocabulary="characters").model_dump(mode="json"), "vocabulary": [*"abcdefgh"],
    }  # fmt: skip
    torch.manual_seed(3)
    model = make_module(config)
    model.network = model.build().eval()
    return model


def straight_text(model: Any, text: str, length: int, seed: int) -> str:
    """Return what the first build of this service sampled."""
    tokens, generator = model.encode(text), torch.Generator().manual_seed(seed)
    for _ in range(length):
        with torch.no_grad():
            logits = model.network(tokens[-6:][None])[0, -1]
        token = torch.multinomial(torch.softmax(logits, dim=0), 1, generator=generator)
        tokens = torch.cat([tokens, token])
    decoded: str = model.decode(tokens)
    return decoded


def test_a_text_is_a_function_of_prompt_options_and_seed_alone(writer: Any) -> None:
    state = torch.random.get_rng_state()
    texts = {writer.generate(writer.network, "abc", 20, seed) for seed in (4, 5)}
    assert texts == {straight_text(writer, "abc", 20, seed) for seed in (4, 5)} and len(texts) == 2
    greedy = writer.generate(writer.network, "abc", 20, temperature=0)
    for options in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-30},
                    {"temperature": 1e-46}, {"temperature": 5e-324}):  # fmt: skip
        assert writer.generate(writer.network, "abc", 20, 7, **options) == greedy
    unbounded = {"top_k": 8, "top_p": 1.0, "temperature": 1.0}
    assert writer.generate(writer.network, "abc", 20, 4, **unbounded) in texts
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is nobody's"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 99), st.integers(0, 20), st.integers(1, 3))
def test_a_text_ends_before_its_first_stop_string(
    writer: Any, seed: int, at: int, length: int
) -> None:
    prompt = "abc"
    continuation = writer.generate(writer.network, prompt, 24, seed)[len(prompt) :]
    stops = [continuation[at : at + length], "never"]

    text = writer.generate(writer.network, prompt, 24, seed, stop=stops)
    assert text == prompt + continuation[: continuation.find(stops[0])]
    assert writer.generate(writer.network, prompt, 24, seed, stop=stops[0]) == text


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=2, max_size=7),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.none() | st.integers(1, 8),
    st.none() | st.sampled_from([0.1, 0.5, 0.8, 0.97]),
)
def test_tokens_are_drawn_from_those_that_top_k_and_top_p_leave(
    numbers: list[int], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    logits = torch.tensor(numbers, dtype=torch.float32)
    weights = torch.softmax(logits.double() / temperature, 0).tolist()
    allowed = set(range(len(numbers)))
    if top_k is not None:
        least = sorted(numbers)[-min(top_k, len(numbers))]
        allowed = {at for at in allowed if numbers[at] >= least}
    if top_p is not None:
        total, nucleus = sum(weights[at] for at in allowed), set()
        for at in sorted(allowed, key=lambda at: (-numbers[at], at)):
            if sum(weights[other] for other in nucleus) / total < top_p - 1e-6:
                nucleus.add(at)
        allowed = nucleus
    generator = torch.Generator().manual_seed(0)
    drawn = {
        int(language._sample(logits, generator, temperature, top_k, top_p)) for _ in range(150)
    }
    assert drawn <= allowed
    likely = {at for at in allowed if weights[at] / sum(weights[o] for o in allowed) > 0.15}
    assert likely <= drawn


def test_a_text_is_refused_with_the_reason(writer: Any) -> None:
    with pytest.raises(ValueError, match="'z' is no character of the training text"):
        writer.generate(writer.network, "abz")
    with pytest.raises(ValueError, match="one character or more"):
        writer.generate(writer.network, "")
    with torch.no_grad():
        next(writer.network.parameters()).mul_(torch.inf)
    with pytest.raises(ValueError, match="outputs are not finite: its training has diverged"):
        writer.generate(writer.network, "abc")
