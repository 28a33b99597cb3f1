"""The names and shapes of a net's weights and buffers by arithmetic. Knows no torch.

Tests compare them with the built nets.
"""

from collections.abc import Iterator

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


def linear_shapes(prefix: str, inputs: int, outputs: int) -> Shapes:
    """Return those of torch.nn.Linear."""
    return {f"{prefix}.weight": (outputs, inputs), f"{prefix}.bias": (outputs,)}


def norm_shapes(norm: str, prefix: str, width: int) -> Shapes:
    """Return those of the named norm of `width` features; none for "none"."""
    return {f"{prefix}.{name}": shape for name, shape in _norm_tensors(norm, width)}


def _norm_tensors(norm: str, width: int) -> Iterator[tuple[str, Shape]]:
    if norm == "none":
        return
    if norm == "layer+batch":
        for index, part in enumerate(("layer", "batch")):
            for name, shape in _norm_tensors(part, width):
                yield f"{index}.{name}", shape
        return
    yield "weight", (width,)
    if norm != "rms":
        yield "bias", (width,)
    if norm == "batch":
        yield "running_mean", (width,)
        yield "running_var", (width,)
        yield "num_batches_tracked", ()
