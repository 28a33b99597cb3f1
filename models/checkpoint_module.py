"""The head of every checkpoint's model.py: the net from its constants and the weights beside it.

models/checkpoint_source.py copies this file, the family's and those they use into one. Needs torch and
safetensors alone; CONFIG, empty here, is replaced by what the checkpoint's config.json holds.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors.torch import load_file
from torch import nn

from models.mlp.net import build_net

CONFIG: dict[str, Any] = {}


def build() -> nn.Module:
    """Make the net, without its trained weights."""
    config: Any = SimpleNamespace(**CONFIG["model"])
    return build_net(config, CONFIG["inputs"], CONFIG["outputs"])


def load(folder: str | Path | None = None) -> nn.Module:
    """Make the net with the weights of model.safetensors in a folder (default: this file's).

    It is in evaluation mode and on the CPU. Its outputs are the trainer's own bit for bit where
    torch's version, its number of threads and the kind of processor are those of the training.
    """
    checkpoint_folder = Path(__file__).parent if folder is None else Path(folder)
    network = build()
    network.load_state_dict(load_file(checkpoint_folder / "model.safetensors"))
    return network.eval()
