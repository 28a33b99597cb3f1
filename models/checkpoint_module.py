"""The part of every model.py that builds the net from CONFIG and loads the weights beside it.

models/checkpoint_source.py joins this file, the family's and what they use into one that needs only
torch and safetensors. CONFIG, empty here, is replaced by the content of config.json.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.mlp.net import build_net

CONFIG: dict[str, Any] = {}


class Bfloat16Net(nn.Module):
    """Put before a net's class, it computes as a training of precision bfloat16 does.

    That is under torch.autocast: matrix products in bfloat16, weights and outputs float32.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the net's outputs, float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16):
            outputs: Tensor = super().forward(inputs)
        return outputs.float()


def build() -> nn.Module:
    """Build the net on the CPU with random weights, in training mode."""
    config: Any = SimpleNamespace(**CONFIG["model"])
    network = build_net(config, CONFIG["inputs"], CONFIG["outputs"])
    if CONFIG.get("precision") == "bfloat16":
        # of the same object, so that its weights keep their names
        network.__class__ = type("Bfloat16Net", (Bfloat16Net, type(network)), {})
    return network


def load(folder: str | Path | None = None) -> nn.Module:
    """Build the net with the weights of `folder`/model.safetensors (default: this file's folder).

    Returns it in evaluation mode, on the CPU. It computes in the training's precision, and its
    outputs equal the trainer's bit for bit where torch's version, its thread count and the kind of
    processor are those of the training, for as many rows at a time: torch chooses kernels by the
    shape of a tensor, so that one row alone and the same row among others may differ in their last
    bits. Raises FileNotFoundError without that file, RuntimeError where it holds another net's
    weights.
    """
    checkpoint_folder = Path(__file__).parent if folder is None else Path(folder)
    network = build()
    network.load_state_dict(load_file(checkpoint_folder / "model.safetensors"))
    return network.eval()


@contextmanager
def training_threads() -> Iterator[None]:
    """Compute on as many threads as the training did, since the bits of large nets depend on it.

    Only while the block runs; a checkpoint of an earlier build does not say how many they were.
    """
    threads_before = torch.get_num_threads()
    threads = CONFIG.get("threads", threads_before)
    if threads == threads_before:
        yield
        return
    # MKL's vector math chooses its kernels at its first call, which must not be split in threads
    torch.sqrt(torch.ones(1))
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
