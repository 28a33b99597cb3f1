"""Build the net a config describes, with the initial weights of a seed. Knows no job, no tick."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from models.families import ModelConfig
from models.mlp import net as mlp
from models.transformer_lm import net as transformer_lm

#: family -> function of (config, inputs, outputs) that builds its net
NET_BUILDERS: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "mlp": mlp.build_net,
    "transformer_lm": transformer_lm.build_net,
}


def build(config: ModelConfig, inputs: int, outputs: int, seed: int) -> nn.Module:
    """Build the net of `config` on the CPU, with float32 weights.

    An mlp maps [rows, inputs] to [rows, outputs] (float32); a language model maps tokens [rows, at
    most inputs] (int64) to logits [rows, tokens, outputs] (float32).

    The weights are what the modules draw, in order, after torch.manual_seed(seed); an mlp's equal
    those of a hand-written nn.Sequential after that line. Only the CPU's generator is seeded: no
    other is used to initialize weights.
    """
    torch.default_generator.manual_seed(seed)
    return NET_BUILDERS[config.family](config, inputs, outputs)
