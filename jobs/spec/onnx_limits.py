"""Which nets can be written as model.onnx, and the packages that write it. Imports none of them."""

import importlib.util
from collections.abc import Mapping
from typing import Any

MAX_BYTES = (1 << 31) - (1 << 24)  # of weights in one file: protobuf's limit, and room for the rest
PACKAGES = ("onnx", "onnxscript")
REQUIREMENTS = "requirements-onnx.txt"
EXTRA = f"the extra for ONNX, which is not installed here ({REQUIREMENTS})"


def has_packages() -> bool:
    """Return whether this environment can write model.onnx."""
    return all(map(importlib.util.find_spec, PACKAGES))


def find_obstacle(config: Mapping[str, Any], weight_bytes: int) -> str | None:
    """Return the rule that a net of this config.json breaks, or None if it can be written.

    Nets of all families can be.
    """
    if config.get("precision") == "bfloat16":
        return "a net that was trained in float32: runtimes compute bfloat16 otherwise"
    if weight_bytes > MAX_BYTES:
        return f"weights of at most {MAX_BYTES:,} bytes, as one file can hold: not {weight_bytes:,}"
    return None
