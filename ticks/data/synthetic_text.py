"""A synthetic text: a pattern of letters that repeats, with some letters at random. Knows no file.

Every token is a function of (seed, position), so any part can be read on its own. A net that has
learned the pattern reaches a loss of about 0.62 nats a token.
"""

import numpy as np

from jobs.sampling.permutations import random_words
from ticks.data.tokens import Ids

LETTERS = 26
PERIOD = 31  # tokens; a prime, so that windows do not all begin alike
NOISE_ONE_IN = 10  # one token in ten is random
FIRST_LETTER = ord("a")


class SyntheticText:
    """The text of one seed; its tokens are bytes of ASCII, or numbers 0 … 25."""

    def __init__(self, seed: int, *, as_bytes: bool) -> None:
        self._seed, self._base = seed, FIRST_LETTER if as_bytes else 0
        start = np.uint64(1) << np.uint64(63)  # beyond every position of a token
        hashes = random_words(seed, start + np.arange(PERIOD, dtype=np.uint64))
        self._pattern = hashes % np.uint64(LETTERS)

    def read(self, first: int, count: int) -> Ids:
        """Return `count` tokens from token `first` (from 0) on, int64 [count]."""
        positions = np.arange(first, first + count, dtype=np.uint64)
        hashes = random_words(self._seed, positions)
        is_noise = (hashes >> np.uint64(32)) % np.uint64(NOISE_ONE_IN) == 0
        plain = self._pattern[positions % np.uint64(PERIOD)]
        return np.where(is_noise, hashes % np.uint64(LETTERS), plain).astype(np.int64) + self._base
