"""Seeds of everything random, each a pure function of what it is for. Draws nothing itself."""

import hashlib


def derive_seed(purpose: str, *numbers: int) -> int:
    """Derive a 64-bit seed from a purpose and integers: the head of a sha256, little-endian.

    "order" (seed, epoch) orders an epoch's rows; "dropout" (seed, tick, part) drops out;
    "validation" (seed) chooses the held-out rows. Unlike seed + tick, no two purposes meet.
    (torch's CPU generator uses the low 32 bits, a CUDA one all 64.)
    """
    text = " ".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
