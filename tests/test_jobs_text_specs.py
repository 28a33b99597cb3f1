"""Reading a spec of a language model: allowed fields, defaults, and the place of each error."""

from typing import Any

import pytest

from jobs.plan import plan
from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.reading import read_spec
from jobs.spec.stored import read_stored_spec
from tests.support import small_spec
from tests.texts import IDS, TINY, lm_spec, random_text

GENESIS = {"source": "example", "name": "genesis", "window": 64}
LM: dict[str, Any] = {"model": TINY, "data": GENESIS, "batch_size": 4}
OTHER = {"id": IDS["other"]}


def faults(**changes: Any) -> list[FieldError]:
    with pytest.raises(InvalidSpec) as caught:
        read_spec(small_spec(**changes), max_parameters=10**9)
    return caught.value.errors


# what is changed in a good spec -> where the fault is
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "no family": ("/model/family", {"model": {"layers": 2}}),
    "an unknown family": ("/model/family", {"model": {"family": "cnn"}}),
    "no object": ("/model", {"model": "mlp"}),
    "another family's field": ("/model/hidden", LM | {"model": TINY | {"hidden": [8]}}),
    "a field that is a tag": ("/model/mlp", {"model": {"family": "mlp", "mlp": 1}}),
    "no layer": ("/model/layers", LM | {"model": TINY | {"layers": 0}}),
    "a norm over rows": ("/model/norm", LM | {"model": TINY | {"norm": "batch"}}),
    "heads that do not share": ("/model/heads", LM | {"model": TINY | {"heads": 3}}),
    "heads that do not share the default": (
        "/model/heads",
        LM | {"model": {"family": "transformer_lm", "heads": 3}},
    ),
    "an mlp on a text": ("/model/family", {"data": GENESIS}),
    "a transformer_lm on a table": ("/model/family", {"model": TINY}),
    "no window": ("/data/window", LM | {"data": {"source": "example", "name": "genesis"}}),
    "a window of nothing": ("/data/window", LM | {"data": GENESIS | {"window": 0}}),
    "a window too long": ("/data/window", LM | {"data": GENESIS | {"window": 65_537}}),
    "a table's window": (
        "/data/window",
        {"data": {"source": "example", "name": "digits", "window": 4}},
    ),
    "an objective of tables": ("/objective", LM | {"objective": "mse"}),
    "an objective of texts": ("/objective", {"objective": "language_model"}),
    "accuracy of a text": (
        "/stop/target/metric",
        LM
        | {
            "validation": {"fraction": 0.1},
            "stop": {"target": {"metric": "val_accuracy", "above": 0.5}},
        },
    ),
    "a batch beyond the windows": (
        "/batch_size",
        LM | {"data": GENESIS | {"window": 10_000}, "batch_size": 20},
    ),
    "nothing held out": (
        "/validation/fraction",
        LM | {"data": GENESIS | {"window": 10_000}, "validation": {"fraction": 0.01}},
    ),
    "an unknown precision": ("/compute/precision", {"compute": {"precision": "float16"}}),
}


@pytest.mark.parametrize("kind", list(WRONG))
def test_a_wrong_spec_is_refused_with_the_field_that_is_wrong(kind: str) -> None:
    pointer, changes = WRONG[kind]

    errors = faults(**changes)

    assert [fault.pointer for fault in errors] == [pointer]
    assert errors[0].detail


def test_an_error_of_a_text_spec_is_explained() -> None:
    assert "one of mlp, transformer_lm" in faults(model={"family": "cnn"})[0].detail
    assert "a text: transformer_lm" in faults(data=GENESIS)[0].detail
    assert "a divisor of width (8)" in faults(**LM | {"model": TINY | {"heads": 3}})[0].detail
    assert "later tokens" in faults(**LM | {"model": TINY | {"norm": "batch"}})[0].detail


@pytest.mark.parametrize(("vocabulary", "tokens"), [("bytes", 20), ("characters", 10)])
def test_a_window_no_shorter_than_the_text_is_refused(vocabulary: str, tokens: int) -> None:
    text, model = "é" * 10, {"vocabulary": vocabulary}
    assert lm_spec(tokens - 1, model, text=text, batch_size=1).training_rows == 1
    with pytest.raises(InvalidSpec) as caught:
        lm_spec(tokens, model, text=text)
    (fault,) = caught.value.errors
    assert fault.pointer == "/data/window" and f"{tokens} {vocabulary}" in fault.detail


def test_rows_are_windows_and_features_and_outputs_their_tokens() -> None:
    text = random_text(1000)
    size = len(text.encode())
    whole, characters = lm_spec(text=text), lm_spec(text=text, model={"vocabulary": "characters"})
    assert (whole.profile.rows, whole.profile.outputs) == ((size - 1) // 8, 256)
    assert (characters.profile.rows, characters.profile.outputs) == (124, len(set(text)))
    assert whole.profile.features == characters.profile.features == 8
    assert whole.parameters == whole.model.num_parameters(8, 256)


def test_defaults_are_those_of_a_language_model() -> None:
    body = {"model": {"family": "transformer_lm"}, "data": GENESIS, "budget": {"epochs": 2}}
    spec = read_spec(body, max_parameters=10**9)
    assert (spec.name, spec.objective, spec.batch_size) == ("transformer_lm", "language_model", 32)
    assert spec.ticks_total == 2 * -(-((196_795 - 1) // 64) // 32)
    assert read_stored_spec(spec.to_stored()) == spec


def test_a_text_to_validate_on_has_a_window_and_only_known_characters() -> None:
    characters = {"vocabulary": "characters"}

    def find_errors(other: str, model: dict[str, Any]) -> list[FieldError]:
        try:
            lm_spec(model=model, text="abc" * 20, other=other, validation=OTHER)
        except InvalidSpec as error:
            return error.errors
        return []

    assert find_errors("cba" * 9, characters) == [] == find_errors("xyz" * 9, {})
    (new,) = find_errors("abc" * 9 + "z", characters)
    assert new.pointer == "/validation/id" and "'z'" in new.detail
    (short,) = find_errors("abc", {})
    assert short.pointer == "/validation/id" and "window" in short.detail


def test_a_model_beyond_the_servers_limit_is_refused_at_its_width() -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_spec(small_spec(**LM), max_parameters=100)
    (fault,) = caught.value.errors
    assert (fault.pointer, fault.value) == ("/model/width", 8)


def test_a_plan_counts_no_bytes_of_the_text_itself() -> None:
    short, long = (
        plan(lm_spec(text=random_text(length), batch_size=4), []) for length in (100, 30_000)
    )
    assert short.memory_bytes == long.memory_bytes
