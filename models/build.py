"""Makes the net a config describes, with the initial weights of a seed. Knows no job, no tick."""

import torch
from torch import nn

from models.families import ModelConfig
from models.mlp import net as mlp

NETS = {"mlp": mlp.net}


def build(config: ModelConfig, inputs: int, outputs: int, seed: int) -> nn.Module:
    """Build the net of `config` on the CPU: [rows, inputs] to [rows, outputs], float32.

    Its weights are what torch's own initialisation draws after torch.manual_seed(seed), module by
    module in order: the weights of a hand-written nn.Sequential after that line. Seeds torch's
    generator for the CPU alone, which is all that initialisation draws from.
    """
    torch.default_generator.manual_seed(seed)
    return NETS[config.family](config, inputs, outputs)
