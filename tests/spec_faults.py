"""Specs with exactly one error between their fields, and the place where it must be reported."""

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
UNKNOWN_ID = "ds_" + "z" * 26
MLP: Spec = {"family": "mlp", "hidden": [4]}
LM: Spec = {"family": "transformer_lm", "layers": 1, "heads": 2, "width": 8}
ON_TABLE = {"model": MLP, "data": REGRESSION}
ON_TEXT = {"model": LM, "data": TEXT}
#: what no fault here is about; the rest is set by the fault
FREE = ("name", "labels", "notes", "seed", "priority", "compute", "checkpoint", "clip_norm")


@dataclass(frozen=True)
class SpecFault:
    """Fields that do not fit together; `pointer` is where the response must say so."""

    name: str
    pointer: str
    fields: Spec

    @property
    def specs(self) -> st.SearchStrategy[Spec]:
        """Draw specs that have this error and no other."""
        base: Spec = {"budget": {"ticks": 20}, **ON_TABLE}

        def faulty(valid: Spec) -> Spec:
            free = {name: valid[name] for name in FREE if name in valid}
            free.get("checkpoint", {}).pop("best", None)  # of what is held out there
            return base | free | self.fields

        return specs().map(faulty)


def fields_on(data: Spec, **changes: Any) -> Spec:
    """Return a spec's fields on these data, with changes."""
    kind = LM if data in (TEXT, GENESIS) else MLP
    return {"model": kind, "data": data | changes}


def stop_rule(name: str, metric: str) -> Spec:
    options = {"patience": {"ticks": 5}, "target": {"below": 1}}
    return {name: {"metric": metric, **options.get(name, {"window": 5, "rel_change": 0.1})}}


HELD_OUT = {"validation": {"fraction": 0.25}}
FAULTS = [
    SpecFault("condition on no column", "/notify_when/1", {"notify_when": ["lr>0", "val_loss<1"]}),
    SpecFault("batch beyond the rows", "/batch_size", {"batch_size": 41}),
    SpecFault("more parts than rows", "/micro_batches", {"batch_size": 4, "micro_batches": 5}),
    SpecFault("batch norm of one row", "/batch_size",
              {"model": MLP | {"norm": "batch"}, "batch_size": 1}),
    SpecFault("batch norm with a last batch of one", "/batch_size",
              {"model": MLP | {"norm": "layer+batch"}, "batch_size": 13}),
    SpecFault("all rows held out", "/test/fraction",
              {"validation": {"fraction": 0.5}, "test": {"fraction": 0.5}, "batch_size": 1}),
    SpecFault("warmup of all ticks", "/schedule/warmup_ticks", {"schedule": {"warmup_ticks": 20}}),
    SpecFault("cosine without a total", "/schedule/name",
              {"schedule": {"name": "cosine"}, "budget": {"seconds": 5}}),
    SpecFault("linear without a total", "/schedule/name",
              {"schedule": {"name": "linear"}, "budget": {"seconds": 5}}),
    SpecFault("no budget", "/budget", {"budget": {}}),
    SpecFault("nothing held out", "/validation/fraction", {"validation": {"fraction": 0.01}}),
    SpecFault("validated twice", "/validation",
              fields_on(PETS) | {"validation": {"fraction": 0.5, "id": STANDING_IN["pets"]}}),
    SpecFault("validated on another kind", "/validation/id",
              fields_on(PETS) | {"validation": {"id": STANDING_IN["text"]}}),
    SpecFault("validated on nothing", "/validation/id",
              fields_on(PETS) | {"validation": {"id": UNKNOWN_ID}}),
    SpecFault("validated on a dataset without one", "/validation/id",
              {"validation": {"id": STANDING_IN["pets"]}}),
    *(SpecFault(f"{name} of what is not measured", f"/stop/{name}/metric",
            {"stop": stop_rule(name, "val_loss")}) for name in ("patience", "target", "converged")),
    SpecFault("accuracy of numbers", "/stop/target/metric",
              HELD_OUT | {"stop": stop_rule("target", "val_accuracy")}),
    SpecFault("accuracy of a text", "/stop/patience/metric",
              ON_TEXT | HELD_OUT | {"stop": stop_rule("patience", "val_accuracy")}),
    SpecFault("perplexity of numbers", "/stop/converged/metric",
              HELD_OUT | {"stop": stop_rule("converged", "val_perplexity")}),
    SpecFault("the best of what is not measured", "/checkpoint/best/metric",
              {"checkpoint": {"best": {"metric": "val_loss"}}}),
    SpecFault("the best of another kind", "/checkpoint/best/metric",
              fields_on(CLASSES) | HELD_OUT | {"checkpoint": {"best": {"metric": "val_rmse"}}}),
    SpecFault("two classes' metric of three", "/checkpoint/best/metric",
              fields_on(CLASSES, classes=3) | HELD_OUT
              | {"checkpoint": {"best": {"metric": "val_auc"}}}),
    SpecFault("a metric that validation leaves out", "/stop/patience/metric",
              {"validation": {"fraction": 0.25, "metrics": ["val_r2"]},
               "stop": stop_rule("patience", "val_mae")}),
    SpecFault("another kind's metric to validate by", "/validation/metrics/1",
              {"validation": {"fraction": 0.25, "metrics": ["val_r2", "val_auc"]}}),
    SpecFault("weights of numbers", "/class_weights", {"class_weights": "balanced"}),
    SpecFault("a weight of no class", "/class_weights/a~1b",
              fields_on(CLASSES) | {"class_weights": {"0": 2, "a/b": 1}}),
    SpecFault("smoothing of numbers", "/label_smoothing", {"label_smoothing": 0.1}),
    SpecFault("weights for the native engine", "/compute/engine",
              fields_on(CLASSES) | {"class_weights": {"1": 2}, "compute": {"engine": "native"}}),
    SpecFault("both sides of a target", "/stop/target",
              {"stop": {"target": {"metric": "loss", "below": 1, "above": 2}}}),
    SpecFault("neither side of a target", "/stop/target", {"stop": {"target": {"metric": "loss"}}}),
    SpecFault("nesterov alone", "/optimizer", {"optimizer": {"name": "sgd", "nesterov": True}}),
    SpecFault("a column twice", "/record", {"record": ["grad_norm", "loss", "grad_norm"]}),
    SpecFault("an mlp for language", "/objective", {"objective": "language_model"}),
    SpecFault("a language model for numbers", "/objective", ON_TEXT | {"objective": "mse"}),
    SpecFault("classes of numbers", "/objective", {"objective": "cross_entropy"}),
    SpecFault("numbers of classes", "/objective", fields_on(CLASSES) | {"objective": "mse"}),
    SpecFault("numbers of a category", "/objective", fields_on(PETS) | {"objective": "mse"}),
    SpecFault("an mlp on a text", "/model/family", {"model": MLP, "data": GENESIS}),
    SpecFault("a language model on a table", "/model/family", {"model": LM}),
    SpecFault("heads that do not share", "/model/heads", ON_TEXT | {"model": LM | {"heads": 3}}),
    SpecFault("too many parameters", "/model/hidden", {"model": MLP | {"hidden": [65_536] * 2}}),
    SpecFault("too wide", "/model/width", ON_TEXT | {"model": LM | {"width": 65_536}}),
    SpecFault("a window beyond the text", "/data/window", fields_on(TEXT, window=1000)),
    SpecFault("a text without a window", "/data/window",
              fields_on(TEXT) | {"data": TEXT | {"window": None}}),
    SpecFault("a table with a window", "/data/window", fields_on(PETS, window=2)),
    SpecFault("a text's target", "/data/target",
              fields_on(TEXT) | {"data": TEXT | {"target": "pet"}}),
    SpecFault("an array's column", "/data/features", fields_on(ARRAYS, features=["x"])),
    SpecFault("no such column", "/data/target", fields_on(PETS, target="name")),
    SpecFault("no target", "/data/target", fields_on(PETS, target=None)),
    SpecFault("no such feature", "/data/features/1", fields_on(PETS, features=["age", "name"])),
    SpecFault("the target as a feature", "/data/features/1",
              fields_on(PETS, features=["age", "pet"])),
    SpecFault("no such column's type", "/data/types/name",
              fields_on(PETS, types={"name": "number"})),
    SpecFault("texts as numbers", "/data/types/colour",
              fields_on(PETS, types={"colour": "number"})),
    SpecFault("fractions as times", "/data/types/weight",
              fields_on(PETS, types={"weight": "datetime"})),
    SpecFault("a class in no row to train on", "/validation/split",
              fields_on(PETS, target="age", types={"age": "category"})
              | {"validation": {"fraction": 0.5, "split": "stratified"}, "batch_size": 1}),
    SpecFault("numbers in equal shares", "/test/split",
              {"test": {"fraction": 0.25, "split": "stratified"}, "batch_size": 1}),
    SpecFault("groups of no table", "/validation/group",
              {"validation": {"fraction": 0.25, "group": "patient"}, "batch_size": 1}),
    SpecFault("a group that is no column", "/test/group",
              fields_on(PETS) | {"test": {"fraction": 0.25, "group": "patient"}}),
    SpecFault("half of the windows that a test leaves", "/validation/fraction",
              ON_TEXT | {"validation": {"fraction": 0.5, "split": "random"},
                         "test": {"fraction": 0.4}, "batch_size": 1}),
    SpecFault("an unknown dataset", "/data/id", fields_on(PETS, id=UNKNOWN_ID)),
    SpecFault("no such example", "/data/name", {"data": {"source": "example", "name": "mnist"}}),
    SpecFault("a ragged row", "/data/inputs/1", fields_on(ROWS, inputs=[[1, 2], [3], [5, 6]])),
    SpecFault("a target too few", "/data/targets", fields_on(ROWS, targets=[0.5, 1])),
    SpecFault("targets of two forms", "/data/targets/2", fields_on(ROWS, targets=[0.5, 1, [2]])),
    SpecFault("classes of a regression", "/data/classes", fields_on(REGRESSION, classes=3)),
    SpecFault("too much data", "/data/samples",
              fields_on(REGRESSION, samples=10_000_000, features=101)),
]  # fmt: skip
