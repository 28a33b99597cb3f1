"""Row numbers as pure functions of a key, a few at a time: orders and splits that take no memory.

For data that lie in a file and may have more rows than an index of them should have bytes. (A
table's rows are ordered by torch.randperm and split by it, see batches.py: other bits.)
"""

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]

ROUNDS = 6
GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def splitmix64(words: Words) -> Words:
    """Scatter 64-bit words, one to one: the finaliser of splitmix64 (Steele et al. 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class IndexPermutation:
    """A permutation of 0 … count - 1, chosen by a 64-bit key and computed where it is asked.

    A Feistel net over a * b places in two digits, a and b about the root of `count`: each round
    moves one digit by a hash of the other. Who lands beyond `count` walks on until within it
    (Black and Rogaway 2002).
    """

    def __init__(self, count: int, key: int) -> None:
        self.count = count
        self.high = math.isqrt(count - 1) + 1
        self.low = -(-count // self.high)
        steps = np.array([(key + step * GOLDEN) & MASK for step in range(1, ROUNDS + 1)], np.uint64)
        self._keys = splitmix64(steps)

    def __call__(self, numbers: Numbers) -> Numbers:
        """Return where each of these numbers lies in the order."""
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
    """`held` of `count` rows held out, one of every stretch of about count / held rows.

    Which one of a stretch is chosen by the key. Both sides are numbered in the rows' order.
    """

    def __init__(self, count: int, held_count: int, key: int) -> None:
        assert 0 < held_count <= count // 2
        self.count, self.held_count, self.key = count, held_count, key

    def held_out(self, numbers: Numbers) -> Numbers:
        """Return the rows that are held out under these numbers, 0 … held - 1."""
        first, next_first = self._start(numbers), self._start(numbers + 1)
        hashes = splitmix64(numbers.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(self.key))
        return first + (hashes % (next_first - first).astype(np.uint64)).astype(np.int64)

    def training(self, numbers: Numbers) -> Numbers:
        """Return the rows that are trained on under these numbers, 0 … count - held - 1."""
        stretch = ((numbers + 1) * self.held_count - 1) // (self.count - self.held_count)
        # Before a stretch lie as many held-out rows as stretches; in it, one.
        rows = numbers + stretch
        return rows + (rows >= self.held_out(stretch))

    def _start(self, stretches: Numbers) -> Numbers:
        return stretches * self.count // self.held_count
