"""Emits a form's ticks as C: the templates of c/, and between them the net, layer by layer.

**The order of operations is the definition of this engine.** It follows from the form alone, never
from the machine, the compiler, the lanes or the chunks:

* All is float32 but the rate's factors (rate / (1 - beta1^n) and their like: float64, rounded
  once), each operation IEEE's, none contracted or reassociated. Elementary functions are those of
  c/functions.h. A recorded NaN, and one in the state after a chunk, is the quiet NaN 0x7fc00000.
* A sum over features has eight strands and a tree (c/lanes.h); one over rows goes row by row; that
  of row losses has eight strands by row number mod 8.
* A linear layer whose outputs >= inputs starts at the bias and adds input after input; its way back
  sums over features. Another sums over features and adds the bias; its way back adds output after
  output to +0. A gradient adds row after row.
* A norm multiplies by 1 / n rounded to float32; eps is in the root; a scale is 1 / sqrt.
* The parts of a tick are added in the tree of ticks/parts.py, each first multiplied by its share.
* The optimizer's formulas are torch's, in the order of c/optimizers.h, but for the weights where
  batch_size is 1 and SGD has neither momentum, decay nor clipping: p + (-rate * d) * x. A buffer
  of momentum starts at +0. A gradient's norm: squares of a line, lines, tensors, in order.
* Dropout's bits are those of c/layers.h, functions of (seed, tick, part, layer, row, unit).

VERSION counts changes of this definition: it belongs to the fingerprint of a history.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ticks.engines.native.form import Form
from ticks.engines.native.tensors import Layer, groups, layers, places

VERSION = 1
TEMPLATES = Path(__file__).parent / "c"
TILE = 16  # rows on their way at a time; lanes of one-row batches need the nearest cache
NAMES = "enum { MSE, CROSS_ENTROPY, SGD, ADAM, ADAMW, RELU, GELU, SILU, TANH, SIGMOID };"


@cache
def template(name: str) -> str:
    """Return a template's text."""
    return (TEMPLATES / f"{name}.h").read_text(encoding="utf-8")


def emit(form: Form) -> str:
    """Return the whole C source of a form, for any number of lanes (-DLANES=…)."""
    parts = [
        template("lanes"), template("functions"), template("job"), *_constants(form),
        *_work(form), template("optimizers"), template("lines"), template("layers"),
        template("losses"), *_forward(form), *_backward(form), template("tick"),
    ]  # fmt: skip
    return "\n".join(parts)


def _constants(form: Form) -> Iterator[str]:
    named = {
        "INPUTS": form.inputs, "OUTPUTS": form.outputs,
        "TILE": f"(LANES > 1 && {int(form.one_row)} ? 1 : {TILE})",
        "OBJECTIVE": form.objective.upper(), "ACTIVATION": form.activation.upper(),
        "OPTIMIZER": form.optimizer.upper(), "DECOUPLED": int(form.optimizer == "adamw"),
        "WEIGHT_DECAY": int(form.weight_decay), "MOMENTUM": int(form.momentum),
        "NESTEROV": int(form.nesterov), "DROPOUT": int(form.dropout), "CLIP": int(form.clip),
        "GRAD_NORM": int(form.grad_norm), "FUSED": int(form.fused),
        "PLAIN": int(form.plain), "AHEAD": int(form.plain and layers(form)[0].columns),
        "FIRST": int(len(form.moments) > 0), "SECOND": int(len(form.moments) > 1),
    }  # fmt: skip
    yield NAMES
    yield from (f"#define {name} {value}" for name, value in named.items())
    rows, at = [], "0"
    for place in places(form):
        yield f"#define {place.name} ({at})"
        at = f"{place.name} + {place.lines} * V({place.width})"
        steps = f"{place.line_step}, {place.step}"
        rows.append(f"  {{{place.name}, {place.lines}, {place.width}, {steps}}},")
    yield f"#define PLACES ({at})"
    yield f"#define TENSORS {len(rows)}"
    yield "\n".join(["static const struct place PLACE[TENSORS] = {", *rows, "};"])


def _work(form: Form) -> Iterator[str]:
    """The work area: state, numbers, and n rows' values at every stage."""
    wide = max(form.inputs, *form.hidden, form.outputs)
    yield "struct work {"
    yield "  vec p[PLACES], first[FIRST ? PLACES : 1], second[SECOND ? PLACES : 1];"
    yield "  ivec active;"
    yield "  real summed, down; /* the sum of the first layer's outputs, if made; minus the rate */"
    yield "  real rate, weight_decay, kept, momentum, root, other1, other2, beta2, eps, growth;"
    yield "  ureal threshold;"
    yield "  uint64_t key[LANES], tick[LANES];"
    yield "  long begin[LANES], ahead[LANES], row[LANES];"
    yield "  int group[LANES];"
    yield "  vec x[TILE * V(INPUTS)], out[TILE * V(OUTPUTS)], target[TILE * V(OUTPUTS)];"
    yield "  vec coming[V(INPUTS)];"
    yield "  int made; /* whether the next rows and the first layer's outputs are there */"
    yield "  int32_t class[TILE * LANES];"
    for at, width in enumerate(form.hidden):
        size = f"[TILE * V({width})]"
        yield f"  vec z{at}{size}, a{at}{size}, slope{at}{size};"
        if form.dropout:
            yield f"  vec kept{at}{size};"
        if form.norm != "none":
            yield f"  real scale{at}[TILE * {groups(form, width)}];"
    yield f"  vec d[2][TILE * V({wide})];"
    yield "  vec *g;"
    yield "  vec gradients[] __attribute__((aligned(64)));"
    yield "} __attribute__((aligned(64)));"


def _forward(form: Form) -> Iterator[str]:
    yield "/* n rows of w->x, from `row` of their part on, to w->out. */"
    yield "static void forward(struct work *w, int n, long row, int train) {"
    yield "  (void)row, (void)train;"
    before = "x"
    for layer in layers(form):
        last = layer.number == len(form.hidden)
        to = "w->out" if last else _named("z", form, layer)
        unless = "  if (!w->made) " if layer.number == 0 and form.plain and layer.columns else "  "
        yield unless + _linear(layer, f"w->{before}", to)
        if not last:
            yield from _hidden(form, layer)
            before = f"a{layer.number}"
    yield "}"


def _named(name: str, form: Form, layer: Layer) -> str:
    """Where a linear layer's outputs go: straight to the activation where there is no norm."""
    return f"w->{'a' if form.norm == 'none' else name}{layer.number}"


def _linear(layer: Layer, x: str, y: str) -> str:
    weight, bias = f"w->p + WEIGHT{layer.number}", f"w->p + BIAS{layer.number}"
    if layer.columns:
        return f"combine(n, {layer.inputs}, {layer.outputs}, {x}, {weight}, {bias}, {y});"
    return f"dots(n, {layer.outputs}, {layer.inputs}, {x}, {weight}, {bias}, {y});"


def _hidden(form: Form, layer: Layer) -> Iterator[str]:
    at, width = layer.number, layer.outputs
    if form.norm != "none":
        beta = "0" if form.norm == "rms" else f"w->p + BETA{at}"
        summed = "w->made ? &w->summed : 0" if at == 0 and form.plain else "0"
        yield (
            f"  norm_forward(n, {width}, {groups(form, width)}, {int(form.norm != 'rms')}, "
            f"w->p + GAMMA{at}, {beta}, {summed}, w->z{at}, w->scale{at}, w->a{at}, w->slope{at});"
        )
    else:
        yield f"  activate(n, {width}, w->a{at}, w->slope{at});"
    if form.dropout:
        yield f"  if (train) drop(w, n, row, {width}, {at}, w->a{at}, w->kept{at});"


def _backward(form: Form) -> Iterator[str]:
    yield "/* From w->out = dloss/dout back to every parameter. */"
    yield "INLINE void backward(struct work *w, int n, int fresh, int masked) {"
    after = "w->out"
    for layer in reversed(layers(form)):
        if layer.number < len(form.hidden) and not _swift(form, layer.number):
            yield from _hidden_back(form, layer, after)
        here = f"w->d[{layer.number % 2}]"
        yield from _linear_back(form, layer, after, here)
        after = here
    yield "}"


def _swift(form: Form, number: int) -> bool:
    """Whether there is such a hidden layer, and its row goes back through its norm in one pass."""
    normed = form.norm in ("layer", "rms") and not form.dropout
    return form.plain and not form.grad_norm and normed and 0 <= number < len(form.hidden)


def _hidden_back(form: Form, layer: Layer, d: str) -> Iterator[str]:
    at, width = layer.number, layer.outputs
    if form.dropout:
        yield f"  drop_back(n, {width}, w->kept{at}, {d});"
    if form.norm == "none":
        yield f"  activate_back(n, {width}, w->a{at}, w->slope{at}, {d});"
    else:
        beta = "-1" if form.norm == "rms" else f"BETA{at}"
        yield (
            f"  norm_backward(w, n, {width}, {groups(form, width)}, {int(form.norm != 'rms')}, "
            f"GAMMA{at}, {beta}, w->z{at}, w->scale{at}, w->a{at}, w->slope{at}, {d}, fresh, "
            "masked);"
        )


def _linear_back(form: Form, layer: Layer, d: str, to: str) -> Iterator[str]:
    """The gradient of the layer's inputs first: it needs the weights from before the update."""
    at, x = layer.number, "w->x" if layer.number == 0 else f"w->a{layer.number - 1}"
    weight = f"w->p + WEIGHT{at}"
    lines, width = (layer.inputs, layer.outputs) if layer.columns else (layer.outputs, layer.inputs)
    swift = _swift(form, at - 1)
    if at > 0 and (layer.columns or not swift):
        way = f"dots(n, {lines}, {width}, {d}, {weight}, 0, {to})"
        if not layer.columns:
            way = f"combine(n, {lines}, {width}, {d}, {weight}, 0, {to})"
        yield f"  {way};"
    left, right = (x, d) if layer.columns else (d, x)
    if form.grad_norm or not form.plain:
        yield f"  outer(w, n, {lines}, {width}, {left}, {right}, WEIGHT{at}, fresh, masked);"
        yield f"  rows_sum(w, n, {layer.outputs}, {d}, BIAS{at}, fresh, masked);"
    if form.plain:
        yield _plain_step(form, layer, f"w, {lines}, {width}, {x}", d)
    if swift:
        yield from _plain_back(form, layer, d, to)


def _plain_step(form: Form, layer: Layer, shape: str, d: str) -> str:
    """The plain step of a layer; the first one's makes the next row's products on its way."""
    at, places_of = layer.number, f"WEIGHT{layer.number}, BIAS{layer.number}"
    if layer.columns:
        back = f"back{at}" if _swift(form, at) else f"(struct back){{.d = {d}}}"
        coming = f"w->made ? w->coming : 0, {_named('z', form, layer)}" if at == 0 else "0, 0"
        return f"  step_columns({shape}, {back}, {places_of}, {coming}, masked);"
    if _swift(form, at - 1):
        return f"  step_bias(w, {layer.outputs}, {d}, BIAS{at}, masked);"
    return f"  step_rows({shape}, {d}, {places_of}, masked);"


def _plain_back(form: Form, layer: Layer, d: str, to: str) -> Iterator[str]:
    """Through the norm before a layer, with the layer's own lines where they are of its inputs."""
    at, width = layer.number - 1, layer.inputs
    beta = "-1" if form.norm == "rms" else f"BETA{at}"
    lines = 0 if layer.columns else layer.outputs
    yield (
        f"  struct back back{at} = plain_back(w, {width}, {int(form.norm != 'rms')}, GAMMA{at}, "
        f"{beta}, w->z{at}, w->scale{at}[0], w->a{at}, w->slope{at}, {to}, {d}, {lines}, "
        f"WEIGHT{layer.number}, masked);"
    )
    if at > 0 or not layers(form)[0].columns:
        yield f"  back_all(&back{at}, {width}, {to});"
