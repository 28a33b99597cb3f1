"""Generate a signature's ticks as C: the templates of c/, and between them the net by layers.

**The order of operations is the definition of this engine.** It follows from the signature alone,
never from the machine, the compiler, the lanes or the chunks:

* All numbers are float32 but the rate's factors (such as rate / (1 - beta1^n): float64, rounded
  once). Each operation is IEEE's; none is contracted or reassociated. Elementary functions are in
  c/functions.h. A recorded NaN, and one in the state after a chunk, is the quiet NaN 0x7fc00000.
* A sum over features has eight strands and a tree (c/lanes.h); one over rows goes row by row; that
  of row losses has eight strands by row number mod 8.
* A linear layer with outputs >= inputs starts at the bias and adds input after input; its backward
  pass sums over features. Another sums over features and adds the bias; its backward pass adds
  output after output to +0. A gradient adds row after row.
* A norm multiplies by 1 / n rounded to float32; eps is inside the root; a scale is 1 / sqrt.
* The parts of a tick are multiplied by their shares and added in the tree of
  ticks/micro_batches.py.
* The optimizer's formulas are torch's, in the order of c/optimizers.h, except for weights with
  batch_size 1 and SGD without momentum, decay and clipping: p + (-rate * d) * x. A momentum buffer
  starts at +0. A gradient's norm adds the squares of a line, then lines, then tensors, in order.
* Dropout's bits are those of c/layers.h, functions of (seed, tick, part, layer, row, unit).

VERSION counts changes of this definition; it belongs to the fingerprint of a history.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ticks.engines.native.signature import KernelSignature
from ticks.engines.native.tensors import (
    LinearLayer,
    TensorPlacement,
    group_count,
    linear_layers,
    tensor_placements,
)

VERSION = 1
TEMPLATES = Path(__file__).parent / "c"
TILE_ROWS = 16  # rows computed at a time; lanes of one-row batches need the nearest cache
NAMES = "enum { MSE, CROSS_ENTROPY, SGD, ADAM, ADAMW, RELU, GELU, SILU, TANH, SIGMOID };"


@cache
def read_template(name: str) -> str:
    """Return the text of c/NAME.h."""
    return (TEMPLATES / f"{name}.h").read_text(encoding="utf-8")


def emit(kernel: KernelSignature) -> str:
    """Return the whole C source of a signature, for any number of lanes (-DLANES=…)."""
    head, middle = ("lanes", "functions", "job"), ("optimizers", "lines", "layers", "losses")
    parts = [
        *map(read_template, head), *_constants(kernel), *_work(kernel),
        *map(read_template, middle), *_forward(kernel), *_backward(kernel), read_template("tick"),
    ]  # fmt: skip
    return "\n".join(parts)


def _constants(kernel: KernelSignature) -> Iterator[str]:
    looks_ahead = kernel.is_plain and linear_layers(kernel)[0].is_columnwise
    constants = {
        "INPUTS": kernel.inputs, "OUTPUTS": kernel.outputs,
        "TILE": f"(LANES > 1 && {int(kernel.is_one_row)} ? 1 : {TILE_ROWS})",
        "OBJECTIVE": kernel.objective.upper(), "ACTIVATION": kernel.activation.upper(),
        "OPTIMIZER": kernel.optimizer.upper(), "DECOUPLED": int(kernel.optimizer == "adamw"),
        "WEIGHT_DECAY": int(kernel.has_weight_decay), "MOMENTUM": int(kernel.has_momentum),
        "NESTEROV": int(kernel.is_nesterov), "DROPOUT": int(kernel.has_dropout),
        "CLIP": int(kernel.has_clipping), "GRAD_NORM": int(kernel.needs_grad_norm),
        "FUSED": int(kernel.is_fused), "PLAIN": int(kernel.is_plain), "AHEAD": int(looks_ahead),
        "FIRST": int(len(kernel.moments) > 0), "SECOND": int(len(kernel.moments) > 1),
    }  # fmt: skip
    yield NAMES
    yield from (f"#define {name} {value}" for name, value in constants.items())
    yield from _places(kernel)


def _places(kernel: KernelSignature) -> Iterator[str]:
    """Yield where tensors begin: first those that decay, up to DECAYED; and a table in order."""
    placements = list(tensor_placements(kernel))
    offset = decayed = "0"
    for placement in sorted(placements, key=lambda placement: not _decays(kernel, placement)):
        yield f"#define {placement.name} ({offset})"
        offset = f"{placement.name} + {placement.lines} * V({placement.width})"
        decayed = offset if _decays(kernel, placement) else decayed
    yield f"#define DECAYED ({decayed})"
    yield f"#define PLACES ({offset})"
    yield f"#define TENSORS {len(placements)}"
    yield "static const struct place PLACE[TENSORS] = {"
    for placement in placements:
        steps = f"{placement.line_step}, {placement.step}"
        yield f"  {{{placement.name}, {placement.lines}, {placement.width}, {steps}}},"
    yield "};"


def _decays(kernel: KernelSignature, placement: TensorPlacement) -> bool:
    return kernel.decays_all or placement.is_weight


def _work(kernel: KernelSignature) -> Iterator[str]:
    """Yield struct work: state, numbers, and n rows' values at every stage."""
    max_width = max(kernel.inputs, *kernel.hidden, kernel.outputs)
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
    for at, width in enumerate(kernel.hidden):
        size = f"[TILE * V({width})]"
        yield f"  vec z{at}{size}, a{at}{size}, slope{at}{size};"
        if kernel.has_dropout:
            yield f"  vec kept{at}{size};"
        if kernel.norm != "none":
            yield f"  real scale{at}[TILE * {group_count(kernel, width)}];"
    yield f"  vec d[2][TILE * V({max_width})];"
    yield "  vec *g;"
    yield "  vec gradients[] __attribute__((aligned(64)));"
    yield "} __attribute__((aligned(64)));"


def _forward(kernel: KernelSignature) -> Iterator[str]:
    yield "/* n rows of w->x, from `row` of their part on, to w->out. */"
    yield "static void forward(struct work *w, int n, long row, int train) {"
    yield "  (void)row, (void)train;"
    previous = "x"
    for layer in linear_layers(kernel):
        is_last = layer.number == len(kernel.hidden)
        to = "w->out" if is_last else _output_buffer("z", kernel, layer)
        is_ahead = layer.number == 0 and kernel.is_plain and layer.is_columnwise
        prefix = "  if (!w->made) " if is_ahead else "  "
        yield prefix + _linear(layer, f"w->{previous}", to)
        if not is_last:
            yield from _hidden(kernel, layer)
            previous = f"a{layer.number}"
    yield "}"


def _output_buffer(name: str, kernel: KernelSignature, layer: LinearLayer) -> str:
    """The buffer of a linear layer's outputs: the activation's where there is no norm."""
    return f"w->{'a' if kernel.norm == 'none' else name}{layer.number}"


def _linear(layer: LinearLayer, x: str, y: str) -> str:
    weight, bias = f"w->p + WEIGHT{layer.number}", f"w->p + BIAS{layer.number}"
    if layer.is_columnwise:
        return f"combine(n, {layer.inputs}, {layer.outputs}, {x}, {weight}, {bias}, {y});"
    return f"dots(n, {layer.outputs}, {layer.inputs}, {x}, {weight}, {bias}, {y});"


def _hidden(kernel: KernelSignature, layer: LinearLayer) -> Iterator[str]:
    at, width = layer.number, layer.outputs
    if kernel.norm != "none":
        beta = "0" if kernel.norm == "rms" else f"w->p + BETA{at}"
        summed = "w->made ? &w->summed : 0" if at == 0 and kernel.is_plain else "0"
        yield (
            f"  norm_forward(n, {_norm_shape(kernel, width)}, "
            f"w->p + GAMMA{at}, {beta}, {summed}, w->z{at}, w->scale{at}, w->a{at}, w->slope{at});"
        )
    else:
        yield f"  activate(n, {width}, w->a{at}, w->slope{at});"
    if kernel.has_dropout:
        yield f"  if (train) drop(w, n, row, {width}, {at}, w->a{at}, w->kept{at});"


def _norm_shape(kernel: KernelSignature, width: int) -> str:
    """The arguments width, groups, and whether the mean is subtracted."""
    return f"{width}, {group_count(kernel, width)}, {int(kernel.norm != 'rms')}"


def _backward(kernel: KernelSignature) -> Iterator[str]:
    yield "/* From w->out = dloss/dout back to every parameter. */"
    yield "INLINE void backward(struct work *w, int n, int fresh, int masked) {"
    upstream = "w->out"
    for layer in reversed(linear_layers(kernel)):
        if layer.number < len(kernel.hidden) and not _is_one_pass(kernel, layer.number):
            yield from _hidden_back(kernel, layer, upstream)
        downstream = f"w->d[{layer.number % 2}]"
        yield from _linear_back(kernel, layer, upstream, downstream)
        upstream = downstream
    yield "}"


def _is_one_pass(kernel: KernelSignature, number: int) -> bool:
    """Whether hidden layer `number` exists and its norm's backward pass also updates it."""
    is_simple_norm = kernel.norm in ("layer", "rms") and not kernel.has_dropout
    is_simple = kernel.is_plain and not kernel.needs_grad_norm and is_simple_norm
    return is_simple and 0 <= number < len(kernel.hidden)


def _hidden_back(kernel: KernelSignature, layer: LinearLayer, d: str) -> Iterator[str]:
    at, width = layer.number, layer.outputs
    if kernel.has_dropout:
        yield f"  drop_back(n, {width}, w->kept{at}, {d});"
    if kernel.norm == "none":
        yield f"  activate_back(n, {width}, w->a{at}, w->slope{at}, {d});"
    else:
        beta = "-1" if kernel.norm == "rms" else f"BETA{at}"
        yield (
            f"  norm_backward(w, n, {_norm_shape(kernel, width)}, GAMMA{at}, {beta}, "
            f"w->z{at}, w->scale{at}, w->a{at}, w->slope{at}, {d}, fresh, masked);"
        )


def _linear_back(kernel: KernelSignature, layer: LinearLayer, d: str, to: str) -> Iterator[str]:
    """Yield a layer's backward pass; the inputs' gradient first, as it needs the old weights."""
    at, x = layer.number, "w->x" if layer.number == 0 else f"w->a{layer.number - 1}"
    weight = f"w->p + WEIGHT{at}"
    lines, width = (
        (layer.inputs, layer.outputs) if layer.is_columnwise else (layer.outputs, layer.inputs)
    )
    is_one_pass = _is_one_pass(kernel, at - 1)
    if at > 0 and (layer.is_columnwise or not is_one_pass):
        call = f"dots(n, {lines}, {width}, {d}, {weight}, 0, {to})"
        if not layer.is_columnwise:
            call = f"combine(n, {lines}, {width}, {d}, {weight}, 0, {to})"
        yield f"  {call};"
    left, right = (x, d) if layer.is_columnwise else (d, x)
    if kernel.needs_grad_norm or not kernel.is_plain:
        yield f"  outer(w, n, {lines}, {width}, {left}, {right}, WEIGHT{at}, fresh, masked);"
        yield f"  rows_sum(w, n, {layer.outputs}, {d}, BIAS{at}, fresh, masked);"
    if kernel.is_plain:
        yield _plain_step(kernel, layer, f"w, {lines}, {width}, {x}", d)
    if is_one_pass:
        yield from _plain_back(kernel, layer, d, to)


def _plain_step(kernel: KernelSignature, layer: LinearLayer, shape: str, d: str) -> str:
    """Return a layer's plain SGD step; the first layer's also computes the next row's products."""
    at, placement_names = layer.number, f"WEIGHT{layer.number}, BIAS{layer.number}"
    if layer.is_columnwise:
        back = f"back{at}" if _is_one_pass(kernel, at) else f"(struct back){{.d = {d}}}"
        coming = "0, 0" if at else f"w->made ? w->coming : 0, {_output_buffer('z', kernel, layer)}"
        return f"  step_columns({shape}, {back}, {placement_names}, {coming}, masked);"
    if _is_one_pass(kernel, at - 1):
        return f"  step_bias(w, {layer.outputs}, {d}, BIAS{at}, masked);"
    return f"  step_rows({shape}, {d}, {placement_names}, masked);"


def _plain_back(kernel: KernelSignature, layer: LinearLayer, d: str, to: str) -> Iterator[str]:
    """Yield the backward pass through the norm before a layer, which updates the layer's rows."""
    at, width = layer.number - 1, layer.inputs
    beta = "-1" if kernel.norm == "rms" else f"BETA{at}"
    lines = 0 if layer.is_columnwise else layer.outputs
    yield (
        f"  struct back back{at} = plain_back(w, {width}, {int(kernel.norm != 'rms')}, GAMMA{at}, "
        f"{beta}, w->z{at}, w->scale{at}[0], w->a{at}, w->slope{at}, {to}, {d}, {lines}, "
        f"WEIGHT{layer.number}, masked);"
    )
    if at > 0 or not linear_layers(kernel)[0].is_columnwise:
        yield f"  back_all(&back{at}, {width}, {to});"
