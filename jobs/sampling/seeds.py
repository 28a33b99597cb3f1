"""Seeds of everything random, each a pure function of its purpose. Draws no random number."""

import hashlib


def derive_seed(purpose: str, *numbers: int) -> int:
    """Derive a 64-bit seed from a purpose and integers: 8 bytes of a sha256, little-endian.

    "order" (seed, epoch) orders an epoch's rows; "dropout" (seed, tick, part) draws the dropout
    masks; "validation" (seed) chooses the held-out rows. Unlike sums such as seed + tick, seeds of
    different purposes do not coincide. torch's CPU generator uses the low 32 bits, CUDA's all 64.
    """
    text = " ".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
