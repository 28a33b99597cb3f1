"""Hypothesis strategies of data that a spec may name: every source, and texts, tables and arrays.

A dataset is named here by one of STANDING_IN, since ids are made by the service that a test runs:
`insert_ids` puts the real ids in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jobs.spec.data import EXAMPLES_FOLDER
from tests.datasets import CSV, NPZ, PETS, TEXT, npz_of, upload_new

TEXT_BYTES = "Äpfel and pears, and a word on each of them.\n".encode() * 12
NUMBERS_NPZ = npz_of(
    inputs=np.arange(24, dtype=np.float32).reshape(8, 3),
    targets=np.arange(16, dtype=np.float32).reshape(8, 2) / 4,
)
CLASSES_NPZ = npz_of(inputs=np.ones((9, 2), np.float32), targets=np.arange(9) % 3)
#: what is uploaded -> its bytes and type
FILES = {
    "pets": (PETS, CSV), "text": (TEXT_BYTES, TEXT),
    "numbers": (NUMBERS_NPZ, NPZ), "classes": (CLASSES_NPZ, NPZ),
}  # fmt: skip
STANDING_IN = {name: "ds_" + f"{index}{name}".ljust(26, "0") for index, name in enumerate(FILES)}

Spec = dict[str, Any]


@dataclass(frozen=True)
class SpecData:
    """The data of a spec, and what its other fields must fit: kind is class, number or token."""

    data: Spec
    kind: str
    rows: int
    required_fields: Spec  # fields of the spec that must be said for this kind
    validation_id: str | None = None  # a dataset that the job can be validated on
    max_rows: int = 65_536  # rows of a tick


def upload_all(client: Any) -> dict[str, str]:
    """Upload all files; return the id for each placeholder."""
    return {
        STANDING_IN[name]: upload_new(client, data, kind)["id"]
        for name, (data, kind) in FILES.items()
    }


def insert_ids(spec: Spec, ids: Mapping[str, str]) -> Spec:
    """Return the spec with the real ids of its datasets."""
    text = json.dumps(spec)
    for standing_in, dataset_id in ids.items():
        text = text.replace(standing_in, dataset_id)
    result: Spec = json.loads(text)
    return result


def optional_fields(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """Draw an object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def integers(minimum: int, maximum: int) -> st.SearchStrategy[Any]:
    """Draw an integer in one of its two JSON spellings: 8 or 8.0."""
    numbers = st.integers(minimum, maximum)
    return numbers | numbers.filter(lambda value: abs(value) <= 2**53).map(float)


def floats(minimum: float, maximum: float, **bounds: Any) -> st.SearchStrategy[Any]:
    return st.floats(minimum, maximum, allow_nan=False, **bounds)


FLAG = st.booleans()
FLOAT32 = floats(-1e6, 1e6, width=32)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=200)


@st.composite
def inline(draw: st.DrawFn) -> SpecData:
    rows, features = draw(st.integers(2, 9)), draw(st.integers(1, 4))
    inputs = draw(st.lists(st.lists(FLOAT32, min_size=features, max_size=features),
                           min_size=rows, max_size=rows))  # fmt: skip
    target_kind = draw(st.sampled_from(["class", "number", "row"]))
    target_values: st.SearchStrategy[Any] = FLOAT32
    if target_kind == "class":
        target_values = integers(0, 20)
    elif target_kind == "row":
        target_width = draw(st.integers(1, 3))
        target_values = st.lists(FLOAT32, min_size=target_width, max_size=target_width)
    targets = draw(st.lists(target_values, min_size=rows, max_size=rows))
    if target_kind == "class" and len(set(targets)) < 2:
        targets[0] = 21  # one class alone is refused
    data = {
        "source": "inline",
        "inputs": inputs,
        "targets": targets,
        **draw(optional_fields(shuffle=FLAG, drop_last=FLAG)),
    }
    required_fields = {"objective": "cross_entropy"} if target_kind == "class" else {}
    return SpecData(data, "class" if target_kind == "class" else "number", rows, required_fields)


@st.composite
def synthetic(draw: st.DrawFn) -> SpecData:
    kind = draw(st.sampled_from(["regression", "classification"]))
    samples = draw(st.integers(2, 10_000))
    options = draw(
        optional_fields(
            features=integers(1, 300), seed=integers(0, 2**32 - 1), shuffle=FLAG, drop_last=FLAG
        )
    )
    if kind == "classification":
        options |= draw(optional_fields(classes=integers(2, 1000)))
    data = {"source": "synthetic", "kind": kind, "samples": samples, **options}
    return SpecData(data, "number" if kind == "regression" else "class", samples, {})


@st.composite
def tables(draw: st.DrawFn) -> SpecData:
    """Draw specs on the table of pets, for each of its columns."""
    target = draw(st.sampled_from(["weight", "colour", "age", "pet"]))
    others = [name for name in ("weight", "colour", "age", "pet") if name != target]
    data: Spec = {"source": "dataset", "id": STANDING_IN["pets"], "target": target}
    data |= draw(optional_fields(
        features=st.lists(st.sampled_from(others), min_size=1, unique=True) | st.none(),
        standardize=FLAG, shuffle=FLAG, drop_last=FLAG,
    ))  # fmt: skip
    if draw(FLAG):
        data["types"] = {"age": "category"}
    is_class = target in ("colour", "pet") or (target == "age" and "types" in data)
    return SpecData(
        data, "class" if is_class else "number", 6, {}, validation_id=STANDING_IN["pets"]
    )


@st.composite
def arrays(draw: st.DrawFn) -> SpecData:
    name = draw(st.sampled_from(["numbers", "classes"]))
    data = {
        "source": "dataset",
        "id": STANDING_IN[name],
        **draw(optional_fields(shuffle=FLAG, drop_last=FLAG)),
    }
    if name == "numbers":
        return SpecData(data, "number", 8, {}, validation_id=STANDING_IN[name])
    required_fields = {"objective": "cross_entropy"}
    return SpecData(data, "class", 9, required_fields, validation_id=STANDING_IN[name])


DIGITS = SpecData({"source": "example", "name": "digits"}, "class", 1797, {})


@st.composite
def texts(draw: st.DrawFn) -> SpecData:
    """Draw specs on a text by bytes or characters; the model says which."""
    vocabulary = draw(st.sampled_from(["bytes", "characters"]))
    if draw(FLAG):
        facts = json.loads((EXAMPLES_FOLDER / "genesis.json").read_text())["text"]
        data, tokens = {"source": "example", "name": "genesis"}, facts[vocabulary]
    else:
        data = {"source": "dataset", "id": STANDING_IN["text"]}
        text = TEXT_BYTES if vocabulary == "bytes" else TEXT_BYTES.decode()
        tokens = len(text)
    window = draw(st.integers(1, 48))
    rows = (tokens - 1) // window
    data |= {"window": window, **draw(optional_fields(shuffle=FLAG, drop_last=FLAG))}
    validation_id = data.get("id")
    return SpecData(data, "token", rows, {"vocabulary": vocabulary}, validation_id, max_rows=64)


#: name -> specs' data of one kind
KINDS: dict[str, st.SearchStrategy[SpecData]] = {
    "inline": inline(),
    "synthetic": synthetic(),
    "an example": st.just(DIGITS),
    "a table": tables(),
    "arrays": arrays(),
    "a text": texts(),
}
