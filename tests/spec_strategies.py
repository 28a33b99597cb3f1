"""Hypothesis strategies of valid specs: every family, optimizer, schedule, source and rule."""

from hypothesis import strategies as st

from jobs.spec.conditions import parse_condition
from jobs.spec.metrics import METRICS
from tests.data_strategies import (
    FLAG,
    KINDS,
    NAMES,
    Spec,
    SpecData,
    floats,
    integers,
    optional_fields,
)

ANY_DATA = st.one_of(*KINDS.values())
DROPOUT = floats(0, 1, exclude_max=True)
ACTIVATIONS = st.sampled_from(["relu", "gelu", "silu", "tanh", "sigmoid"])
MLPS = st.builds(
    lambda fields: {"family": "mlp", **fields},
    optional_fields(
        hidden=st.lists(integers(1, 64), min_size=1, max_size=4), norm_position=st.just("pre"),
        norm=st.sampled_from(["layer", "rms", "batch", "group", "layer+batch", "none"]),
        activation=ACTIVATIONS, dropout=DROPOUT,
    ),
)  # fmt: skip


@st.composite
def transformers(draw: st.DrawFn) -> Spec:
    heads = draw(st.integers(1, 4))
    sizes = {"heads": heads, "width": heads * draw(st.integers(1, 16))} if draw(FLAG) else {}
    return {"family": "transformer_lm", **sizes} | draw(optional_fields(
        layers=integers(1, 3), feed_forward=integers(1, 4), activation=ACTIVATIONS, dropout=DROPOUT,
        norm=st.sampled_from(["layer", "rms", "none"]), tied_embeddings=FLAG,
        norm_position=st.sampled_from(["pre", "post"]),
    ))  # fmt: skip


RATE = {
    "lr": floats(1e-9, 10),
    "weight_decay": floats(0, 1),
    "decay": st.sampled_from(["weights", "all"]),
}
BETA = floats(0, 1, exclude_max=True)
ADAPTIVE = {**RATE, "betas": st.lists(BETA, min_size=2, max_size=2), "eps": floats(1e-12, 1)}
OPTIMIZERS = st.one_of(
    optional_fields(**RATE, momentum=BETA).map(lambda fields: {"name": "sgd", **fields}),
    optional_fields(**RATE).map(
        lambda fields: {"name": "sgd", "momentum": 0.9, "nesterov": True, **fields}
    ),
    optional_fields(**ADAPTIVE).map(lambda fields: {"name": "adam", **fields}),
    optional_fields(**ADAPTIVE, name=st.just("adamw")),
)
TICKS = integers(1, 10**9)
BUDGETS = optional_fields(
    ticks=TICKS, epochs=integers(1, 10**6), seconds=floats(1, 2_592_000)
).filter(bool)  # fmt: skip
CHECKPOINTS = optional_fields(
    every_seconds=floats(1, 86_400) | st.none(), every_ticks=TICKS | st.none(),
    keep=integers(1, 100), keep_best=FLAG, at_start=FLAG,
)  # fmt: skip
COMPUTES = optional_fields(
    device=st.sampled_from(["auto", "cpu", "cuda"]), threads=integers(1, 256),
    precision=st.sampled_from(["float32", "bfloat16"]),
    engine=st.sampled_from(["auto", "eager", "graph"]),
    processes=st.just(1), exact=st.sampled_from(["required", "best_effort"]),
).filter(lambda says: (says.get("engine"), says.get("device")) != ("graph", "cuda"))  # fmt: skip
LOSS_OPTIONS = optional_fields(
    class_weights=st.sampled_from(["balanced", None]),
    label_smoothing=floats(0, 1, exclude_max=True),
)
#: of labels
KEYS = NAMES.map(lambda name: ("k" + name.replace(":", ""))[:63])
ABOUT = optional_fields(
    name=NAMES | st.none(), notes=NAMES, seed=integers(0, 2**32 - 1), priority=integers(-100, 100),
    labels=st.dictionaries(KEYS, NAMES, max_size=3),
    record=st.lists(st.sampled_from(["loss", "grad_norm"]), unique=True),
    clip_norm=floats(1e-9, 1e9) | st.none(), checkpoint=CHECKPOINTS, compute=COMPUTES,
    optimizer=OPTIMIZERS,
)  # fmt: skip


def stop_rules(metrics: list[str]) -> st.SearchStrategy[Spec]:
    """Draw stop rules on metrics that are measured; without a metric they use val_loss, or loss."""
    metric = st.sampled_from(metrics)
    finite = floats(-1e9, 1e9)
    side = st.one_of(st.fixed_dictionaries({name: finite}) for name in ("below", "above"))
    patience = st.fixed_dictionaries({"metric": metric, "ticks": TICKS},
                                     optional={"min_delta": floats(0, 1e9)})  # fmt: skip
    target = st.tuples(side, st.fixed_dictionaries({"metric": metric})).map(
        lambda two: two[0] | two[1]
    )
    converged = st.fixed_dictionaries(
        {"metric": metric, "window": TICKS, "rel_change": floats(0, 10)}
    )
    return optional_fields(
        patience=patience | st.none(), target=target | st.none(), converged=converged | st.none(),
        on_nonfinite=st.sampled_from(["fail", "skip"]), check_every=TICKS,
        max_skips=TICKS | st.none(),
    )  # fmt: skip


#: of a fraction; `group` and `stratified` hang on the data
SPLITS = optional_fields(split=st.sampled_from([None, "random", "last"]))


def fraction_of(count: int, rows: int) -> float:
    """Return a fraction, of at most a half, that holds out so many of the rows."""
    return min(0.5, (count + 0.25) / rows)


@st.composite
def validations(draw: st.DrawFn, data: SpecData, free: int) -> tuple[Spec | None, int]:
    """Draw a validation, and the number of the `free` rows that it holds out."""
    interval = draw(optional_fields(every_ticks=TICKS | st.none()))
    if data.validation_id and draw(FLAG):
        return {"id": data.validation_id, **interval}, 0
    most = min(free // 2, data.rows // 2)
    if most < 1 or draw(FLAG):
        return None, 0
    held_out = draw(st.integers(1, most))
    fraction = fraction_of(held_out, data.rows)
    return {"fraction": fraction, **draw(SPLITS), **interval}, held_out


@st.composite
def final_tests(draw: st.DrawFn, data: SpecData) -> tuple[Spec | None, int]:
    """Draw a test, and the number of rows that it holds out."""
    if data.validation_id and draw(FLAG):
        return {"id": data.validation_id}, 0
    if data.rows < 3 or draw(FLAG):
        return None, 0
    held_out = draw(st.integers(1, data.rows // 3))
    return {"fraction": fraction_of(held_out, data.rows), **draw(SPLITS)}, held_out


@st.composite
def batches(
    draw: st.DrawFn, training: int, is_coupled: bool, drop_last: bool, max_rows: int
) -> tuple[Spec, int]:
    """Draw batch fields, and the rows of a batch. `coupled`: every part needs two rows or more."""
    if is_coupled:
        size = draw(st.sampled_from([n for n in range(2, min(training, max_rows) + 1)
                                     if training % n != 1 or drop_last]))  # fmt: skip
        return {"batch_size": size}, size
    if draw(FLAG):
        size = min(32, training)
        return draw(optional_fields(micro_batches=integers(1, size), batch_size=st.none())), size
    size = draw(st.integers(1, min(training, max_rows)))
    return {
        "batch_size": size,
        **draw(optional_fields(micro_batches=integers(1, min(1024, size)))),
    }, size


@st.composite
def schedules(draw: st.DrawFn, total: int | None) -> Spec:
    names = ["constant"] if total is None else ["constant", "linear", "cosine"]
    max_ticks = 10**9 if total is None else total - 1
    fields = optional_fields(name=st.sampled_from(names), warmup_ticks=integers(0, max_ticks))
    schedule: Spec = draw(fields)
    falls = schedule.get("name", "constant") != "constant"
    return schedule | draw(optional_fields(end_factor=floats(0, 1) if falls else st.just(0.0)))


def total_of(budget: Spec, training: int, batch: int, drop_last: bool) -> int | None:
    """Return the ticks of a job, by the contract."""
    epoch = training // batch if drop_last else -(-training // batch)
    epochs = [budget["epochs"] * epoch] if "epochs" in budget else []
    totals = [int(ticks) for ticks in (*epochs, budget.get("ticks")) if ticks is not None]
    return min(totals, default=None)


def conditions(metrics: list[str]) -> st.SearchStrategy[list[str]]:
    """Draw conditions on ticks, the rate and these metrics, none twice."""
    parts = st.sampled_from([*metrics, "lr"]), st.sampled_from("<>"), floats(-10, 10)
    texts = st.builds(lambda name, sign, value: f"{name}{sign}{value!r}", *parts)
    ticks = integers(1, 10**9).map(lambda tick: f"tick>={tick:.0f}")
    return st.lists(texts | ticks, max_size=3, unique_by=lambda text: parse_condition(text).meaning)


@st.composite
def specs(draw: st.DrawFn, source: st.SearchStrategy[SpecData] = ANY_DATA) -> Spec:
    """Draw a spec on such data that must be accepted."""
    data = draw(source)
    compute = dict(data.required_fields)
    if data.kind == "token":
        model = draw(transformers()) | {"vocabulary": compute.pop("vocabulary")}
    else:
        model = draw(MLPS)
    test, test_rows = draw(final_tests(data))
    validation, held_out = draw(validations(data, data.rows - test_rows))
    training, drop_last = data.rows - held_out - test_rows, data.data.get("drop_last", False)
    is_coupled = "batch" in model.get("norm", "layer")
    if is_coupled and training < 2:
        model, is_coupled = model | {"norm": "layer"}, False
    sizes, batch = draw(batches(training, is_coupled, drop_last, data.max_rows))
    budget = draw(BUDGETS)
    held_out_metrics = [f"val_{name}" for name in ("loss", *METRICS[data.kind])]
    metrics = ["loss", *(held_out_metrics if validation else [])]
    parts = {
        "schedule": schedules(total_of(budget, training, batch, drop_last)),
        "stop": stop_rules(metrics),
        "notify_when": conditions(metrics),
    }
    spec = {"model": model, "data": data.data, "budget": budget, **compute, **sizes}
    spec |= {} if validation is None and draw(FLAG) else {"validation": validation}
    spec |= {} if test is None and draw(FLAG) else {"test": test}
    if data.kind == "class":
        spec |= draw(LOSS_OPTIONS)
    spec |= draw(optional_fields(**parts)) | draw(ABOUT)
    if validation and draw(FLAG):
        mode = st.sampled_from(["min", "max", None])
        best = st.fixed_dictionaries({"metric": st.sampled_from(held_out_metrics), "mode": mode})
        spec["checkpoint"] = {**spec.get("checkpoint", {}), "best": draw(best)}
    return spec
