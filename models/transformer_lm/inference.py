"""What model.py has for a language model beside the net: text to tokens and back, and more text."""

import torch
from torch import Tensor, nn

from models.checkpoint_module import CONFIG


def encode(text: str) -> Tensor:
    """Turn a text into tokens [length]; every character must be one that the training text has."""
    vocabulary = CONFIG.get("vocabulary")  # None: tokens are bytes
    numbers = list(text.encode()) if vocabulary is None else [vocabulary.index(c) for c in text]
    return torch.tensor(numbers, dtype=torch.int64)


def decode(tokens: Tensor) -> str:
    """Turn tokens [length] into text."""
    vocabulary = CONFIG.get("vocabulary")
    if vocabulary is None:
        return bytes(tokens.tolist()).decode(errors="replace")
    return "".join(vocabulary[number] for number in tokens.tolist())


@torch.no_grad()
def generate(network: nn.Module, text: str, length: int = 200, seed: int = 0) -> str:
    """Go on with a text (one character or more) by `length` tokens, each drawn as likely as it is.

    The net sees as many of the last tokens as it was trained on.
    """
    tokens, generator = encode(text), torch.Generator().manual_seed(seed)
    for _ in range(length):
        logits = network(tokens[-CONFIG["inputs"] :][None])[0, -1]
        next_token = torch.multinomial(torch.softmax(logits, dim=0), 1, generator=generator)
        tokens = torch.cat([tokens, next_token])
    return decode(tokens)
