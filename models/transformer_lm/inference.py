"""The functions of a language model's model.py beside the net: tokens, text, sampling."""

import torch
from torch import Tensor, nn

from models.checkpoint_module import CONFIG


def encode(text: str) -> Tensor:
    """Turn a text into tokens [length], int64.

    With a vocabulary of characters, raises ValueError for one that the training text has not.
    """
    vocabulary = CONFIG.get("vocabulary")  # None: tokens are bytes
    numbers = list(text.encode()) if vocabulary is None else [vocabulary.index(c) for c in text]
    return torch.tensor(numbers, dtype=torch.int64)


def decode(tokens: Tensor) -> str:
    """Turn tokens [length], int64, into text; bytes that are not UTF-8 become U+FFFD."""
    vocabulary = CONFIG.get("vocabulary")
    if vocabulary is None:
        return bytes(tokens.tolist()).decode(errors="replace")
    return "".join(vocabulary[number] for number in tokens.tolist())


@torch.no_grad()
def generate(network: nn.Module, text: str, length: int = 200, seed: int = 0) -> str:
    """Return `text` (one character or more) continued by `length` sampled tokens.

    Each token is drawn from the net's distribution (temperature 1) by a generator of `seed`. The
    net sees at most its context: the last CONFIG["inputs"] tokens.
    """
    tokens, generator = encode(text), torch.Generator().manual_seed(seed)
    for _ in range(length):
        logits = network(tokens[-CONFIG["inputs"] :][None])[0, -1]
        next_token = torch.multinomial(torch.softmax(logits, dim=0), 1, generator=generator)
        tokens = torch.cat([tokens, next_token])
    return decode(tokens)
