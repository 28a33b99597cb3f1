"""Metrics of texts. Knows no net."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

MAX_EXPONENT = math.log(1.7976931348623157e308)


class TokenMetrics:
    """Perplexity of a token, and bits of a byte of the text in UTF-8.

    `vocabulary` are the characters that tokens stand for, None where tokens are bytes.
    """

    def __init__(self, vocabulary: Sequence[str] | None) -> None:
        lengths = [len(character.encode()) for character in vocabulary or []]
        self._lengths = np.array(lengths, np.int64) if vocabulary else None
        self.count = self._tokens = self._bytes = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a block of rows by its targets, int64 [rows, window]; the loss tells the rest."""
        tokens = targets.cpu().numpy()
        self._tokens += tokens.size
        self._bytes += tokens.size if self._lengths is None else int(self._lengths[tokens].sum())
        self.count += len(tokens)

    def compute(self, loss: float) -> dict[str, float]:
        """Return the metrics of all rows so far, whose mean loss is `loss` nats a token."""
        return {
            "perplexity": math.exp(loss) if loss < MAX_EXPONENT else loss * math.inf,
            "bits_per_byte": loss * self._tokens / (math.log(2) * self._bytes),
        }

    def report(self) -> dict[str, Any]:
        """Return the numbers of tokens and bytes that were predicted."""
        return {"tokens": self._tokens, "bytes": self._bytes}
