#!/usr/bin/env bash
# protobuf 7.36.2 (upb) with onnx 1.23.2 and onnxruntime 1.32.0: emptying a list that is empty
# changes the message around it.
#
# Expected: to empty a repeated field of a submessage that was never set does nothing, whichever way
#   it is done: reading it, iterating over it and .clear() do nothing. A program that strips notes
#   (metadata_props, doc strings) from every graph within an ONNX model writes the same model
#   without its notes.
# Is: `del message.sub.items[:]`, `message.sub.ClearField("items")` and `.extend([])` make `sub`
#   present, though nothing was in it. An ONNX attribute holds one of several fields; with an empty
#   graph beside its number it is another attribute, and onnx.checker and onnxruntime both refuse
#   the model ("type field and data field mismatch").
# Way out: ask HasField first, or use .clear().
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 3 minutes.
# ONNX_PYTHON=/path/to/python: use its packages.
set -euo pipefail
folder=$(mktemp -d /tmp/protobuf-presence-XXXXXX)
trap 'rm -rf "$folder"' EXIT
python=${ONNX_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet protobuf==7.36.2 onnx==1.23.2 onnxruntime==1.32.0 || exit 3
    python=$folder/venv/bin/python
fi
timeout 90 "$python" - <<'PYTHON'
import sys

import google.protobuf
import onnx
import onnxruntime
from google.protobuf.internal import api_implementation
from onnx import helper

print("protobuf", google.protobuf.__version__, api_implementation.Type(),
      "onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
if api_implementation.Type() != "upb":
    print("another implementation of protobuf: not what this is about")
    sys.exit(3)


def delete_slice(attribute):
    del attribute.g.metadata_props[:]


WAYS = {
    "read": lambda attribute: len(attribute.g.metadata_props),
    "iterate": lambda attribute: list(attribute.g.metadata_props),
    "clear()": lambda attribute: attribute.g.metadata_props.clear(),
    "del [:]": delete_slice,
    "ClearField": lambda attribute: attribute.g.ClearField("metadata_props"),
    "extend([])": lambda attribute: attribute.g.metadata_props.extend([]),
}


def is_valid(attribute):
    """Return whether onnx and onnxruntime take a model of one node with this attribute."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    node = helper.make_node("Elu", ["x"], ["y"])
    node.attribute.append(attribute)
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    try:
        onnx.checker.check_model(model)
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        print("   ", type(error).__name__, str(error).strip().splitlines()[0][:90])
        return False
    return True


seen = {}
for name, touch in WAYS.items():
    attribute = helper.make_attribute("alpha", 1.0)
    touch(attribute)
    seen[name] = attribute.HasField("g")
    print(f"{name:<11} the graph is {'present' if seen[name] else 'absent'}")
    if is_valid(attribute) == seen[name]:
        sys.exit("a model with an empty graph beside the number is taken, or one without refused")
expected = {name: name in ("del [:]", "ClearField", "extend([])") for name in WAYS}
print("as described" if seen == expected else "not as described any more")
sys.exit(seen != expected)
PYTHON
