"""Makes the net a config describes, with the initial weights of a seed. Knows no job, no tick."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from models.families import ModelConfig
from models.mlp import net as mlp
from models.transformer_lm import net as transformer_lm

#: family -> its net of a config, inputs and outputs
NET_BUILDERS: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "mlp": mlp.build_net,
    "transformer_lm": transformer_lm.build_net,
}


def build(config: ModelConfig, inputs: int, outputs: int, seed: int) -> nn.Module:
    """Build the net of `config` on the CPU, float32.

    An mlp takes [rows, inputs] and gives [rows, outputs]; a language model takes tokens (int64) and
    gives [rows, inputs, outputs]. Its weights are what its modules draw in order after
    torch.manual_seed(seed): an mlp's are those of a hand-written nn.Sequential after that line.
    Seeds torch's generator for the CPU alone, which is all that initialisation draws from.
    """
    torch.default_generator.manual_seed(seed)
    return NET_BUILDERS[config.family](config, inputs, outputs)
