"""A synthetic text: a pattern of letters that repeats, with some letters at random. Knows no file.

Every token is a function of (seed, position), so that any part can be read without what is before
it. What there is to learn: the pattern, at a loss of about 0.62 nats a token at best.
"""

import numpy as np
import numpy.typing as npt

from ticks.data.tokens import Ids

LETTERS = 26
PERIOD = 31  # tokens; a prime, so that windows do not all begin alike
NOISE_ONE_IN = 10  # one token in so many is at random
FIRST_LETTER = ord("a")

Words = npt.NDArray[np.uint64]


class SyntheticText:
    """The tokens of one seed: ids of letters, as bytes or as numbers from 0."""

    def __init__(self, seed: int, *, as_bytes: bool) -> None:
        self._seed, self._base = np.uint64(seed), FIRST_LETTER if as_bytes else 0
        start = np.uint64(1) << np.uint64(63)  # beyond every position of a token
        self._pattern = self._hash(start + np.arange(PERIOD, dtype=np.uint64)) % np.uint64(LETTERS)

    def read(self, first: int, count: int) -> Ids:
        """Give `count` tokens from token `first` on -> int64 [count]."""
        positions = np.arange(first, first + count, dtype=np.uint64)
        hashes = self._hash(positions)
        is_noise = (hashes >> np.uint64(32)) % np.uint64(NOISE_ONE_IN) == 0
        letters = np.where(
            is_noise, hashes % np.uint64(LETTERS), self._pattern[positions % np.uint64(PERIOD)]
        )
        return letters.astype(np.int64) + self._base

    def _hash(self, positions: Words) -> Words:
        """Mix seed and positions (splitmix64: Steele, Lea, Flood 2014, OOPSLA, figure 17)."""
        with np.errstate(over="ignore"):
            word = positions * np.uint64(0x9E3779B97F4A7C15) + self._seed
            word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return word ^ (word >> np.uint64(31))
