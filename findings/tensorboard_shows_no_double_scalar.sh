#!/usr/bin/env bash
# tensorboard 2.21.0 with tensorboard-data-server 0.7.2: a double-precision scalar is not shown.
#
# Expected: a scalar that torch's SummaryWriter writes with new_style=True, double_precision=True
#   (a tensor of DT_DOUBLE under the plug-in `scalars`, whose bits the Python reader gives back) is
#   shown by `tensorboard --logdir`, rounded at worst.
# Is: TensorBoard reads its files by a program of its own, tensorboard-data-server, wherever that is
#   installed (--load_fast=auto). It drops each such point, as double_val and as tensor_content: the
#   page has no chart of the tag, without a word. The same scalar as a tensor of DT_FLOAT has every
#   point, and so has the double one with --load_fast=false.
# Way out: write the scalar as float32 (simple_value), and beside it the double under another tag
#   and plug-in, for programs; or start tensorboard with --load_fast=false.
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 2 minutes.
# TENSORBOARD_PYTHON=/path/to/python: use its packages.
set -euo pipefail
folder=$(mktemp -d /tmp/double-scalar-XXXXXX)
trap 'rm -rf "$folder"' EXIT
python=${TENSORBOARD_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet tensorboard==2.21.0 tensorboard-data-server==0.7.2 || exit 3
    python=$folder/venv/bin/python
fi
FOLDER=$folder timeout 90 "$python" - <<'PYTHON'
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT
from tensorboard.summary.writer.event_file_writer import EventFileWriter

print("tensorboard", version("tensorboard"), "data server", version("tensorboard-data-server"))
logs = Path(os.environ["FOLDER"], "logs")
metadata = SummaryMetadata(
    plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"), data_class=1
)
writer = EventFileWriter(str(logs / "run"))
for step in range(1, 6):
    value, shape = step + 1 / 3, TensorShapeProto()
    tensors = {
        "float": TensorProto(dtype=DT_FLOAT, tensor_shape=shape, float_val=[value]),
        "double": TensorProto(dtype=DT_DOUBLE, tensor_shape=shape, double_val=[value]),
        "double_content": TensorProto(
            dtype=DT_DOUBLE, tensor_shape=shape, tensor_content=struct.pack("<d", value)
        ),
    }
    values = [Summary.Value(tag=t, metadata=metadata, tensor=one) for t, one in tensors.items()]
    writer.add_event(Event(wall_time=step, step=step, summary=Summary(value=values)))
writer.close()


def points_shown(*options):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, *options], **quiet)
    data, shown = f"http://127.0.0.1:{port}/data/plugin/scalars", {}
    try:
        deadline = time.monotonic() + 40
        while shown.get("float") != 5 and time.monotonic() < deadline:
            time.sleep(0.5)
            try:
                tags = json.load(urllib.request.urlopen(f"{data}/tags")).get("run", {})
                for tag in tags:
                    with urllib.request.urlopen(f"{data}/scalars?run=run&tag={tag}") as answer:
                        shown[tag] = len(json.load(answer))
            except OSError:
                continue
    finally:
        server.terminate()
        server.wait()
    return shown


by_default, slow = points_shown(), points_shown("--load_fast=false")
print("points shown by default:", by_default)
print("points shown with --load_fast=false:", slow)
if by_default.get("float") != 5 or slow.get("float") != 5:
    sys.exit(3)
sys.exit(by_default != {"float": 5} or slow != dict.fromkeys(tensors, 5))
PYTHON
