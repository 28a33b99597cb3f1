"""Hypothesis strategies of valid specs: every family, optimizer, schedule, source and rule."""

import math

from hypothesis import strategies as st

from tests.data_strategies import FLAG, KINDS, NAMES, Rows, Spec, number, some, whole

EVERY = st.one_of(*KINDS.values())
DROPOUT = number(0, 1, exclude_max=True)
ACTIVATIONS = st.sampled_from(["relu", "gelu", "silu", "tanh", "sigmoid"])
MLPS = st.builds(
    lambda fields: {"family": "mlp", **fields},
    some(
        hidden=st.lists(whole(1, 64), min_size=1, max_size=4), norm_position=st.just("pre"),
        norm=st.sampled_from(["layer", "rms", "batch", "group", "layer+batch", "none"]),
        activation=ACTIVATIONS, dropout=DROPOUT,
    ),
)  # fmt: skip


@st.composite
def transformers(draw: st.DrawFn) -> Spec:
    heads = draw(st.integers(1, 4))
    sizes = {"heads": heads, "width": heads * draw(st.integers(1, 16))} if draw(FLAG) else {}
    return {"family": "transformer_lm", **sizes} | draw(some(
        layers=whole(1, 3), feed_forward=whole(1, 4), activation=ACTIVATIONS, dropout=DROPOUT,
        norm=st.sampled_from(["layer", "rms", "none"]), tied_embeddings=FLAG,
        norm_position=st.sampled_from(["pre", "post"]),
    ))  # fmt: skip


RATE = {"lr": number(1e-9, 10), "weight_decay": number(0, 1)}
BETA = number(0, 1, exclude_max=True)
ADAPTIVE = {**RATE, "betas": st.lists(BETA, min_size=2, max_size=2), "eps": number(1e-12, 1)}
OPTIMIZERS = st.one_of(
    some(**RATE, momentum=BETA).map(lambda fields: {"name": "sgd", **fields}),
    some(**RATE).map(lambda fields: {"name": "sgd", "momentum": 0.9, "nesterov": True, **fields}),
    some(**ADAPTIVE).map(lambda fields: {"name": "adam", **fields}),
    some(**ADAPTIVE, name=st.just("adamw")),
)
TICKS = whole(1, 10**9)
BUDGETS = some(
    ticks=TICKS, epochs=whole(1, 10**6), seconds=number(1, 2_592_000)
).filter(bool)  # fmt: skip
CHECKPOINTS = some(
    every_seconds=number(1, 86_400) | st.none(), every_ticks=TICKS | st.none(),
    keep=whole(1, 100), keep_best=FLAG, at_start=FLAG,
)  # fmt: skip
COMPUTES = some(
    device=st.sampled_from(["auto", "cpu", "cuda"]), threads=whole(1, 256),
    precision=st.sampled_from(["float32", "bfloat16"]),
    engine=st.sampled_from(["auto", "eager", "graph"]),
    processes=st.just(1), exact=st.sampled_from(["required", "best_effort"]),
).filter(lambda says: (says.get("engine"), says.get("device")) != ("graph", "cuda"))  # fmt: skip
#: of labels
KEYS = NAMES.map(lambda name: ("k" + name.replace(":", ""))[:63])
ABOUT = some(
    name=NAMES | st.none(), notes=NAMES, seed=whole(0, 2**63 - 1), priority=whole(-100, 100),
    labels=st.dictionaries(KEYS, NAMES, max_size=3),
    record=st.lists(st.sampled_from(["loss", "grad_norm"]), unique=True),
    clip_norm=number(1e-9, 1e9) | st.none(), checkpoint=CHECKPOINTS, compute=COMPUTES,
    optimizer=OPTIMIZERS,
)  # fmt: skip


def stops(metrics: list[str]) -> st.SearchStrategy[Spec]:
    """Stop rules on what is measured. Not saying the metric means val_loss, or loss."""
    metric = st.sampled_from(metrics)
    finite = number(-1e9, 1e9)
    side = st.one_of(st.fixed_dictionaries({name: finite}) for name in ("below", "above"))
    patience = st.fixed_dictionaries({"metric": metric, "ticks": TICKS},
                                     optional={"min_delta": number(0, 1e9)})  # fmt: skip
    target = st.tuples(side, st.fixed_dictionaries({"metric": metric})).map(
        lambda two: two[0] | two[1]
    )
    converged = st.fixed_dictionaries(
        {"metric": metric, "window": TICKS, "rel_change": number(0, 10)}
    )
    return some(
        patience=patience | st.none(), target=target | st.none(), converged=converged | st.none(),
        on_nonfinite=st.sampled_from(["fail", "skip"]), check_every=TICKS,
    )  # fmt: skip


@st.composite
def validations(draw: st.DrawFn, data: Rows) -> tuple[Spec | None, int]:
    """A validation, and the rows that it holds out."""
    every = draw(some(every_ticks=TICKS | st.none()))
    if data.validates and draw(FLAG):
        return {"id": data.validates, **every}, 0
    if data.rows < 2 or draw(FLAG):
        return None, 0
    held = draw(st.integers(1, data.rows // 2))
    fraction = min(0.5, (held + 0.25) / data.rows)
    return {"fraction": fraction, **every}, math.floor(fraction * data.rows)


@st.composite
def batches(draw: st.DrawFn, training: int, coupled: bool, most: int) -> tuple[Spec, int]:
    """Batch fields, and the rows of a batch. `coupled`: every part needs two rows or more."""
    if coupled:
        size = draw(st.sampled_from([n for n in range(2, min(training, most) + 1)
                                     if training % n != 1]))  # fmt: skip
        return {"batch_size": size}, size
    if draw(FLAG):
        size = min(32, training)
        return draw(some(micro_batches=whole(1, size), batch_size=st.none())), size
    size = draw(st.integers(1, min(training, most)))
    return {"batch_size": size, **draw(some(micro_batches=whole(1, min(1024, size))))}, size


@st.composite
def schedules(draw: st.DrawFn, total: int | None) -> Spec:
    names = ["constant"] if total is None else ["constant", "linear", "cosine"]
    most = 10**9 if total is None else total - 1
    return draw(some(name=st.sampled_from(names), warmup_ticks=whole(0, most),
                     end_factor=number(0, 1)))  # fmt: skip


def total_of(budget: Spec, training: int, batch: int) -> int | None:
    """The ticks of a job, by the contract."""
    epochs = [budget["epochs"] * -(-training // batch)] if "epochs" in budget else []
    known = [int(ticks) for ticks in (*epochs, budget.get("ticks")) if ticks is not None]
    return min(known, default=None)


@st.composite
def specs(draw: st.DrawFn, of: st.SearchStrategy[Rows] = EVERY) -> Spec:
    """A spec on such data that must be accepted."""
    data = draw(of)
    says = dict(data.says)
    if data.kind == "token":
        model = draw(transformers()) | {"vocabulary": says.pop("vocabulary")}
    else:
        model = draw(MLPS)
    validation, held = draw(validations(data))
    training = data.rows - held
    coupled = "batch" in model.get("norm", "layer")
    if coupled and training < 2:
        model, coupled = model | {"norm": "layer"}, False
    sizes, batch = draw(batches(training, coupled, data.most))
    budget = draw(BUDGETS)
    metrics = ["loss", *(["val_loss"] if validation else [])]
    if validation and data.kind == "class":
        metrics.append("val_accuracy")
    parts = {
        "schedule": schedules(total_of(budget, training, batch)),
        "stop": stops(metrics),
    }
    spec = {"model": model, "data": data.data, "budget": budget, **says, **sizes}
    spec |= {} if validation is None and draw(FLAG) else {"validation": validation}
    return spec | draw(some(**parts)) | draw(ABOUT)
