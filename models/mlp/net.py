"""The mlp as a torch module: linear layers, the hidden ones with norm, activation and dropout."""

from torch import nn

from models.activations import ACTIVATIONS
from models.mlp.config import MlpConfig
from models.norms import make_norm


def build_net(config: MlpConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Build the net from [rows, inputs] to [rows, outputs], float32.

    A norm "none" and a dropout of 0 add no module.
    """
    layers: list[nn.Module] = []
    for width in config.hidden:
        layers += hidden_block(config, inputs, width)
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def hidden_block(config: MlpConfig, inputs: int, width: int) -> list[nn.Module]:
    """Return one hidden layer's modules in order: linear, norm, activation, dropout."""
    dropout = [nn.Dropout(config.dropout)] if config.dropout > 0 else []
    linear = nn.Linear(inputs, width)
    return [linear, *make_norm(config.norm, width), ACTIVATIONS[config.activation](), *dropout]
