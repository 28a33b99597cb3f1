"""Write a net as model.onnx, for programs that have no torch. Needs requirements-onnx.txt.

A net of a table takes `rows`, float64 [rows, inputs], as model.py's `encode` makes them, and gives
`probabilities`, float32 [rows, classes], or `values`, float64 [rows, outputs], in the targets' own
units. A language model takes `tokens`, int64 [rows, tokens], and gives `logits`, float32 [rows,
tokens, vocabulary]. The model's metadata has the content of config.json: columns, classes,
vocabulary.

The file is a function of the checkpoint and of the versions of torch and onnxscript: what the
exporter adds about its own run (stack traces with paths and source lines, names of its classes) is
left out. Opset 20 is the first with an operator Gelu; in 18 the exporter writes GELU out as
others, whose sums have other last bits, so the number is part of what a file computes.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.spec import onnx_limits
from ticks.answers.nets import LoadedNet
from ticks.answers.work import Progress, Work, refuse

OPSET = 20


def export_onnx(net: LoadedNet, output: Path) -> Work:
    """Write a net into a new file, synced. Returns {"bytes", "opset"}.

    Raises RefusedRequest where the net has no such form, or OSError. It takes some seconds, of
    which nothing else is done: better in a process of its own.
    """
    if not onnx_limits.has_packages():
        raise refuse("", onnx_limits.EXTRA)
    if (rule := onnx_limits.find_obstacle(net.config, net.bytes)) is not None:
        raise refuse("", rule)
    yield Progress(0)
    content = to_onnx(net)
    with output.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return {"bytes": len(content), "opset": OPSET}


def to_onnx(net: LoadedNet) -> bytes:
    """Return the content of model.onnx."""
    is_text = net.config["objective"] == "language_model"
    model, example, names = _text_model(net) if is_text else _table_model(net)
    dimensions = {0: torch.export.Dim("rows")}
    if is_text and net.config["inputs"] > 1:
        dimensions[1] = torch.export.Dim("tokens", max=net.config["inputs"])
    logger, level = logging.getLogger("torch.onnx"), logging.getLogger("torch.onnx").level
    logger.setLevel(logging.ERROR)  # it remarks on packages that no net of ours needs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about its own calls
            program: Any = torch.onnx.export(
                model, (example,), dynamo=True, external_data=False, opset_version=OPSET,
                input_names=[names[0]], output_names=[names[1]], dynamic_shapes=(dimensions,),
                verbose=False,
            )  # fmt: skip
    finally:
        logger.setLevel(level)
    proto = program.model_proto
    strip_model(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = "config", json.dumps(net.config, sort_keys=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


class TableOnnx(nn.Module):
    """Rows as `encode` makes them to probabilities or to values in the targets' units."""

    def __init__(self, net: LoadedNet) -> None:
        super().__init__()
        self.network, self._module = net.network, net.module
        self._has_classes = net.config["objective"] == "cross_entropy"

    def forward(self, rows: Tensor) -> Tensor:
        """Return probabilities, float32 [rows, classes], or values, float64 [rows, outputs]."""
        outputs: Tensor = self.network(self._module.prepare(rows))
        if self._has_classes:
            return outputs.softmax(dim=1)
        values: Tensor = self._module.to_target_units(outputs)
        return values


def _table_model(net: LoadedNet) -> tuple[nn.Module, Tensor, tuple[str, str]]:
    example = torch.zeros(2, net.config["inputs"], dtype=torch.float64)
    output = "probabilities" if net.config["objective"] == "cross_entropy" else "values"
    return TableOnnx(net).eval(), example, ("rows", output)


def _text_model(net: LoadedNet) -> tuple[nn.Module, Tensor, tuple[str, str]]:
    tokens = min(2, net.config["inputs"])
    return net.network, torch.zeros(2, tokens, dtype=torch.int64), ("tokens", "logits")


def strip_model(proto: Any) -> None:
    """Remove all metadata and doc strings of a model and of every part of it."""
    del proto.metadata_props[:]
    proto.ClearField("doc_string")
    _strip_graph(proto.graph)
    for function in proto.functions:
        _strip([function, *function.value_info, *function.node])


def _strip_graph(graph: Any) -> None:
    _strip([graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer])
    _strip(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):  # to change one that is not there would make it
                _strip_graph(attribute.g)
            for graph_of_node in attribute.graphs:
                _strip_graph(graph_of_node)


def _strip(parts: Iterable[Any]) -> None:
    for part in parts:
        del part.metadata_props[:]
        part.ClearField("doc_string")
