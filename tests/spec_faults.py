"""Specs with exactly one fault between their fields, and the place where it must be found."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.data_strategies import STANDING_IN, Spec
from tests.spec_strategies import specs

PETS = {"source": "dataset", "id": STANDING_IN["pets"], "target": "pet"}
TEXT = {"source": "dataset", "id": STANDING_IN["text"], "window": 8}
ARRAYS = {"source": "dataset", "id": STANDING_IN["numbers"]}
GENESIS = {"source": "example", "name": "genesis", "window": 8}
REGRESSION = {"source": "synthetic", "kind": "regression", "samples": 40}
CLASSES = {"source": "synthetic", "kind": "classification", "samples": 40}
ROWS: Spec = {"source": "inline", "inputs": [[1, 2], [3, 4], [5, 6]], "targets": [0.5, 1, 2]}
NOBODYS = "ds_" + "z" * 26
MLP: Spec = {"family": "mlp", "hidden": [4]}
LM: Spec = {"family": "transformer_lm", "layers": 1, "heads": 2, "width": 8}
ON_TABLE = {"model": MLP, "data": REGRESSION}
ON_TEXT = {"model": LM, "data": TEXT}
#: what no fault here is about; the rest is set by the fault
FREE = ("name", "labels", "notes", "seed", "priority", "compute", "checkpoint", "clip_norm")


@dataclass(frozen=True)
class Fault:
    """Fields that do not fit together; `pointer` is where the answer must say so."""

    name: str
    pointer: str
    fields: Spec

    @property
    def specs(self) -> st.SearchStrategy[Spec]:
        """Specs that have this fault and no other."""
        base: Spec = {"budget": {"ticks": 20}, **ON_TABLE}

        def faulty(valid: Spec) -> Spec:
            free = {name: valid[name] for name in FREE if name in valid}
            return base | free | self.fields

        return specs().map(faulty)


def on(data: Spec, **changes: Any) -> Spec:
    """A spec's fields on these data, changed."""
    kind = LM if data in (TEXT, GENESIS) else MLP
    return {"model": kind, "data": data | changes}


def rule(name: str, metric: str) -> Spec:
    how = {"patience": {"ticks": 5}, "target": {"below": 1}}
    return {name: {"metric": metric, **how.get(name, {"window": 5, "rel_change": 0.1})}}


HELD = {"validation": {"fraction": 0.25}}
FAULTS = [
    Fault("batch beyond the rows", "/batch_size", {"batch_size": 41}),
    Fault("more parts than rows", "/micro_batches", {"batch_size": 4, "micro_batches": 5}),
    Fault("batch norm of one row", "/batch_size",
          {"model": MLP | {"norm": "batch"}, "batch_size": 1}),
    Fault("batch norm with a last batch of one", "/batch_size",
          {"model": MLP | {"norm": "layer+batch"}, "batch_size": 13}),
    Fault("warmup of all ticks", "/schedule/warmup_ticks", {"schedule": {"warmup_ticks": 20}}),
    Fault("cosine without a total", "/schedule/name",
          {"schedule": {"name": "cosine"}, "budget": {"seconds": 5}}),
    Fault("linear without a total", "/schedule/name",
          {"schedule": {"name": "linear"}, "budget": {"seconds": 5}}),
    Fault("no budget", "/budget", {"budget": {}}),
    Fault("nothing held out", "/validation/fraction", {"validation": {"fraction": 0.01}}),
    Fault("validated twice", "/validation",
          on(PETS) | {"validation": {"fraction": 0.5, "id": STANDING_IN["pets"]}}),
    Fault("validated on another kind", "/validation/id",
          on(PETS) | {"validation": {"id": STANDING_IN["text"]}}),
    Fault("validated on nothing", "/validation/id", on(PETS) | {"validation": {"id": NOBODYS}}),
    Fault("validated on a dataset without one", "/validation/id",
          {"validation": {"id": STANDING_IN["pets"]}}),
    *(Fault(f"{name} of what is not measured", f"/stop/{name}/metric",
            {"stop": rule(name, "val_loss")}) for name in ("patience", "target", "converged")),
    Fault("accuracy of numbers", "/stop/target/metric",
          HELD | {"stop": rule("target", "val_accuracy")}),
    Fault("accuracy of a text", "/stop/patience/metric",
          ON_TEXT | HELD | {"stop": rule("patience", "val_accuracy")}),
    Fault("both sides of a target", "/stop/target",
          {"stop": {"target": {"metric": "loss", "below": 1, "above": 2}}}),
    Fault("neither side of a target", "/stop/target", {"stop": {"target": {"metric": "loss"}}}),
    Fault("nesterov alone", "/optimizer", {"optimizer": {"name": "sgd", "nesterov": True}}),
    Fault("a column twice", "/record", {"record": ["grad_norm", "loss", "grad_norm"]}),
    Fault("an mlp for language", "/objective", {"objective": "language_model"}),
    Fault("a language model for numbers", "/objective", ON_TEXT | {"objective": "mse"}),
    Fault("classes of numbers", "/objective", {"objective": "cross_entropy"}),
    Fault("numbers of classes", "/objective", on(CLASSES) | {"objective": "mse"}),
    Fault("numbers of a category", "/objective", on(PETS) | {"objective": "mse"}),
    Fault("an mlp on a text", "/model/family", {"model": MLP, "data": GENESIS}),
    Fault("a language model on a table", "/model/family", {"model": LM}),
    Fault("heads that do not share", "/model/heads", ON_TEXT | {"model": LM | {"heads": 3}}),
    Fault("too many parameters", "/model/hidden", {"model": MLP | {"hidden": [65_536] * 2}}),
    Fault("too wide", "/model/width", ON_TEXT | {"model": LM | {"width": 65_536}}),
    Fault("a window beyond the text", "/data/window", on(TEXT, window=1000)),
    Fault("a text without a window", "/data/window", on(TEXT) | {"data": TEXT | {"window": None}}),
    Fault("a table with a window", "/data/window", on(PETS, window=2)),
    Fault("a text's target", "/data/target", on(TEXT) | {"data": TEXT | {"target": "pet"}}),
    Fault("an array's column", "/data/features", on(ARRAYS, features=["x"])),
    Fault("no such column", "/data/target", on(PETS, target="name")),
    Fault("no target", "/data/target", on(PETS, target=None)),
    Fault("no such feature", "/data/features/1", on(PETS, features=["age", "name"])),
    Fault("the target as a feature", "/data/features/1", on(PETS, features=["age", "pet"])),
    Fault("no such column's type", "/data/types/name", on(PETS, types={"name": "number"})),
    Fault("texts as numbers", "/data/types/colour", on(PETS, types={"colour": "number"})),
    Fault("fractions as a category", "/data/types/weight", on(PETS, types={"weight": "category"})),
    Fault("nobody's dataset", "/data/id", on(PETS, id=NOBODYS)),
    Fault("no such example", "/data/name", {"data": {"source": "example", "name": "mnist"}}),
    Fault("a ragged row", "/data/inputs/1", on(ROWS, inputs=[[1, 2], [3], [5, 6]])),
    Fault("a target too few", "/data/targets", on(ROWS, targets=[0.5, 1])),
    Fault("targets of two forms", "/data/targets/2", on(ROWS, targets=[0.5, 1, [2]])),
    Fault("classes of a regression", "/data/classes", on(REGRESSION, classes=3)),
    Fault("too much data", "/data/samples",
          on(REGRESSION, samples=10_000_000, features=101)),
]  # fmt: skip
