"""The functions of a language model's model.py beside the net: tokens, text, sampling."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from models.checkpoint_module import CONFIG, training_threads


def encode(text: str) -> Tensor:
    """Turn a text into tokens [length], int64.

    With a vocabulary of characters, raises ValueError for one that the training text has not.
    """
    vocabulary = CONFIG.get("vocabulary")  # None: tokens are bytes
    if vocabulary is None:
        return torch.tensor(list(text.encode()), dtype=torch.int64)
    number_of = {character: number for number, character in enumerate(vocabulary)}
    if unknown := [character for character in text if character not in number_of]:
        raise ValueError(f"{unknown[0]!r} is no character of the training text")
    return torch.tensor([number_of[character] for character in text], dtype=torch.int64)


def decode(tokens: Tensor) -> str:
    """Turn tokens [length], int64, into text; bytes that are not UTF-8 become U+FFFD."""
    vocabulary = CONFIG.get("vocabulary")
    if vocabulary is None:
        return bytes(tokens.tolist()).decode(errors="replace")
    return "".join(vocabulary[number] for number in tokens.tolist())


def generate(
    network: nn.Module,
    text: str,
    length: int = 200,
    seed: int = 0,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] = (),
) -> str:
    """Return `text` (one character or more) continued by up to `length` sampled tokens.

    Each token is drawn by a generator of `seed`, of no other, from the net's distribution:

    - softmax(logits / temperature); 0, and what float32 has as no normal number, takes the
      likeliest token, the first of equals.
    - top_k: of the k likeliest tokens, and those equal to the last of them (Fan et al. 2018,
      "Hierarchical Neural Story Generation", arXiv:1805.04833, section 5.4).
    - top_p: then of the fewest likeliest tokens whose probabilities sum to p or more (nucleus
      sampling; Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration",
      arXiv:1904.09751, section 3.1).

    It ends before the first of the strings `stop` in what was sampled. The net sees at most its
    context: the last CONFIG["inputs"] tokens. Raises ValueError for an empty text, for characters
    that the vocabulary has not, and where the net's outputs are not finite.
    """
    continued = text
    for so_far in sample_text(network, text, length, seed, temperature, top_k, top_p, stop):
        continued = so_far
    return continued


@torch.no_grad()
def sample_text(
    network: nn.Module,
    text: str,
    length: int,
    seed: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    stop: str | Sequence[str],
) -> Iterator[str]:
    """Yield what `generate` would return for the lengths 1, 2, ... `length`, up to a stop."""
    stops = [stop] if isinstance(stop, str) else stop
    tokens, generator = encode(text), torch.Generator().manual_seed(seed)
    if not len(tokens):
        raise ValueError("a text of one character or more")
    for count in range(1, length + 1):
        with training_threads():
            logits = network(tokens[-CONFIG["inputs"] :][None])[0, -1]
            next_token = _sample(logits, generator, temperature, top_k, top_p)
        tokens = torch.cat([tokens, next_token])
        continuation = decode(tokens[-count:])
        if ends := [at for word in stops if (at := continuation.find(word)) >= 0]:
            yield text + continuation[: min(ends)]
            return
        yield text + continuation


def _sample(
    logits: Tensor,
    generator: torch.Generator,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> Tensor:
    """Return the number of one token, int64 [1], drawn by logits [vocabulary]."""
    if not logits.isfinite().all():
        raise ValueError("the net's outputs are not finite: its training has diverged")
    if temperature < torch.finfo(torch.float32).tiny:
        return logits.argmax()[None]
    if temperature != 1:  # relative to the greatest, so that no quotient overflows upwards
        logits = (logits - logits.max()) / temperature
    if top_k is not None and top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    probabilities = torch.softmax(logits, dim=0)
    if top_p is not None and top_p < 1:
        ordered, order = probabilities.sort(descending=True, stable=True)
        is_beyond = ordered.cumsum(0) - ordered >= top_p  # those before it have the sum already
        is_beyond[0] = False
        probabilities[order[is_beyond]] = 0
    return torch.multinomial(probabilities, 1, generator=generator)
