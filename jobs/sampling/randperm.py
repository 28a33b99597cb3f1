"""torch.randperm without torch: the same permutation from the same seed.

torch's CPU generator is the Mersenne Twister MT19937, seeded by the low 32 bits, and randperm is
the shuffle of Fisher and Yates: step i swaps the entries i and i + (random number) mod (n - i).
"""

from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

MAX_SMALL_COUNT = (2**32 - 1) // 20  # from here on torch draws 64 bits for each step
BLOCK_STEPS = 1 << 16  # steps whose random numbers are drawn at a time


def randperm(count: int, seed: int) -> Numbers:
    """Return what torch.randperm(count) returns after manual_seed(seed), int64 [count]."""
    entries = array("q", np.arange(count, dtype=np.int64).tobytes())
    for first, targets in _draw_targets(count, seed):
        for step, target in enumerate(targets, first):
            entries[step], entries[target] = entries[target], entries[step]
    return np.frombuffer(entries, dtype=np.int64)


def _draw_targets(count: int, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the entries that consecutive steps swap with, and the first of these steps."""
    # RandomState seeds MT19937 by a number of 32 bits as its reference implementation does
    state: Any = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
    generator = np.random.MT19937()
    generator.state = state
    for first in range(0, count, BLOCK_STEPS):
        steps = np.arange(first, min(first + BLOCK_STEPS, count))
        words = _draw_words(generator, len(steps), is_small=count < MAX_SMALL_COUNT)
        yield first, (steps + (words % (count - steps).astype(np.uint64)).astype(np.int64)).tolist()


def _draw_words(generator: np.random.MT19937, count: int, *, is_small: bool) -> NDArray[np.uint64]:
    """Draw random numbers of 32 bits, or of 64, the high half first; uint64 [count]."""
    if is_small:
        return generator.random_raw(count)
    halves = generator.random_raw(2 * count)
    return (halves[::2] << np.uint64(32)) | halves[1::2]
