"""Orders and splits of rows as pure functions of a key, computed where they are needed.

For data in a file whose rows may be too many for an index in memory. (The rows of a table are
ordered and split by torch.randperm, which gives other orders: see batches.py.)
"""

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]

ROUNDS = 6  # of the Feistel network
GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # the increment of splitmix64: 2^64 / golden ratio, made odd


def splitmix64(words: Words) -> Words:
    """Scatter 64-bit words one to one: the mix function of splitmix64, any shape to the same.

    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA, figure 17.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def random_words(seed: int, positions: Words) -> Words:
    """Return the outputs at `positions` (from 1) of the generator splitmix64 with a 64-bit seed."""
    return splitmix64(positions * np.uint64(GOLDEN_GAMMA) + np.uint64(seed))


class IndexPermutation:
    """A permutation of 0 … count - 1 (count >= 1), chosen by a key of 64 bits.

    A Feistel network over numbers of two digits, in bases of about the root of `count`: each round
    adds a hash of one digit to the other. A result beyond `count` is permuted again until it is
    below (Black and Rogaway 2002, "Ciphers with arbitrary finite domains": cycle walking).
    """

    def __init__(self, count: int, key: int) -> None:
        self.count, self.high = count, math.isqrt(count - 1) + 1
        self.low = -(-count // self.high)
        self._keys = random_words(key, np.arange(1, ROUNDS + 1, dtype=np.uint64))

    def __call__(self, numbers: Numbers) -> Numbers:
        """Return the image of each number, int64 of the same shape."""
        positions = self._permute(numbers.astype(np.uint64))
        while (is_beyond := positions >= self.count).any():
            positions[is_beyond] = self._permute(positions[is_beyond])
        return positions.astype(np.int64)

    def _permute(self, positions: Words) -> Words:
        high, low = np.divmod(positions, np.uint64(self.low))
        for round_, key in enumerate(self._keys):
            if round_ % 2:
                low = (low + splitmix64(high ^ key) % np.uint64(self.low)) % np.uint64(self.low)
            else:
                high = (high + splitmix64(low ^ key) % np.uint64(self.high)) % np.uint64(self.high)
        return high * np.uint64(self.low) + low


class HeldOutSplit:
    """A split of `count` rows that holds out `held_count`, at most half of them.

    The rows are divided into `held_count` stretches of about equal length, and the key (64 bits)
    chooses one row of each. Both sides are numbered in the rows' order.
    """

    def __init__(self, count: int, held_count: int, key: int) -> None:
        assert 0 < held_count <= count // 2
        self.count, self.held_count, self.key = count, held_count, key

    def held_out(self, numbers: Numbers) -> Numbers:
        """Return the row of each held-out number, 0 … held_count - 1."""
        first, next_first = self._start(numbers), self._start(numbers + 1)
        hashes = random_words(self.key, numbers.astype(np.uint64))
        return first + (hashes % (next_first - first).astype(np.uint64)).astype(np.int64)

    def training(self, numbers: Numbers) -> Numbers:
        """Return the row of each training number, 0 … count - held_count - 1."""
        stretch = ((numbers + 1) * self.held_count - 1) // (self.count - self.held_count)
        # Before a stretch lie as many held-out rows as stretches; in it, one.
        rows = numbers + stretch
        return rows + (rows >= self.held_out(stretch))

    def _start(self, stretches: Numbers) -> Numbers:
        return stretches * self.count // self.held_count
