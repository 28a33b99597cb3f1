"""The mlp as a torch module: linear layers, each hidden one normed, activated and dropped out."""

from torch import nn

from models.activations import ACTIVATIONS
from models.mlp.config import MlpConfig
from models.norms import make_norm


def build_net(config: MlpConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Build the net [rows, inputs] to [rows, outputs]; what is "none" or 0 leaves no module."""
    layers: list[nn.Module] = []
    for width in config.hidden:
        layers += hidden_block(config, inputs, width)
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def hidden_block(config: MlpConfig, inputs: int, width: int) -> list[nn.Module]:
    """Make one hidden layer's modules in order: linear, norm, activation, dropout."""
    dropout = [nn.Dropout(config.dropout)] if config.dropout > 0 else []
    linear = nn.Linear(inputs, width)
    return [linear, *make_norm(config.norm, width), ACTIVATIONS[config.activation](), *dropout]
