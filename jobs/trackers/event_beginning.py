"""What a TensorBoard event file begins with: its version, and the spec, twice.

As a text (the page TEXT), and as hyperparameters (the table HPARAMS, in which jobs are compared).
Layout: `plugins/hparams/plugin_data.proto` of github.com/tensorflow/tensorboard.
"""

import json
import struct

from jobs.spec.job_spec import JobSpec
from jobs.trackers.cells import repeat
from jobs.trackers.event_framing import frame_events
from jobs.trackers.protobuf import field
from jobs.trackers.shown_spec import Scalar, flat_parameters, shown_spec

FILE_VERSION = "brain.Event:2"
# first bytes of fields: of an Event
WALL_TIME, VERSION, SUMMARY = b"\x09", b"\x1a", b"\x2a"
# of a Summary, and of its Value
VALUE, TAG, TENSOR, METADATA = b"\x0a", b"\x0a", b"\x42", b"\x4a"
# of a SummaryMetadata, and of its PluginData
PLUGIN, DATA_CLASS, PLUGIN_NAME, PLUGIN_CONTENT = b"\x0a", b"\x20", b"\x0a", b"\x12"
TENSOR_CLASS = b"\x02"
# of an HParamsPluginData, of a SessionStartInfo, of an entry of its map, of a Value
SESSION_START, PARAMETER, START_TIME = b"\x1a", b"\x0a", b"\x29"
KEY, CONTENT, NUMBER, STRING, BOOLEAN = b"\x0a", b"\x12", b"\x11", b"\x1a", b"\x20"
# a tensor's type, its shape of one element, and of a text the field of its elements
TEXT_TENSOR, TEXTS = b"\x08\x07\x12\x04\x12\x02\x08\x01", b"\x42"
NO_TENSOR = b"\x08\x01\x12\x04\x12\x02\x08\x01\x2a\x04\0\0\0\0"  # one float: the plug-in wants one


def event_file_beginning(spec: JobSpec, created: float) -> bytes:
    """Return the first records of a file; `created` is in seconds since 1970."""
    lines = json.dumps(shown_spec(spec), indent=2, sort_keys=True).splitlines()
    text = "".join(f"    {line}\n" for line in lines)  # as code, in the page's markdown
    contents = (
        field(VERSION, FILE_VERSION.encode()),
        _summary("spec", metadata("text", TENSOR_CLASS), TEXT_TENSOR + field(TEXTS, text.encode())),
        _summary("_hparams_/session_start_info", _parameters(spec, created), NO_TENSOR),
    )
    at = WALL_TIME + struct.pack("<d", created)
    return b"".join(frame_events(repeat(at + content, 1)).tobytes() for content in contents)


def metadata(plugin: str, data_class: bytes, content: bytes = b"") -> bytes:
    """Return a SummaryMetadata: which plug-in shows a value, and of which class it is."""
    plugin_data = field(PLUGIN_NAME, plugin.encode())
    if content:
        plugin_data += field(PLUGIN_CONTENT, content)
    return field(PLUGIN, plugin_data) + DATA_CLASS + data_class


def _summary(tag: str, value_metadata: bytes, tensor: bytes) -> bytes:
    parts = field(TAG, tag.encode()) + field(METADATA, value_metadata) + field(TENSOR, tensor)
    return field(SUMMARY, field(VALUE, parts))


def _parameters(spec: JobSpec, created: float) -> bytes:
    entries = [
        field(PARAMETER, field(KEY, name.encode()) + field(CONTENT, _encode_scalar(value)))
        for name, value in sorted(flat_parameters(spec).items())
    ]
    start = b"".join(entries) + START_TIME + struct.pack("<d", created)
    return metadata("hparams", TENSOR_CLASS, field(SESSION_START, start))


def _encode_scalar(value: Scalar) -> bytes:
    if isinstance(value, bool):
        return BOOLEAN + bytes([value])
    if isinstance(value, str):
        return field(STRING, value.encode())
    return NUMBER + struct.pack("<d", value)
