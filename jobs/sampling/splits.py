"""Draw the rows that are held out: random, the last, whole groups, or so many of each class.

Each is a pure function of the seed, the numbers of rows and their classes or groups. Knows no spec.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.sampling.seeds import derive_seed

Split = Literal["random", "last", "group", "stratified"]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
#: (count, seed) -> a permutation of 0 ... count - 1: torch.randperm, or its copy in randperm.py
Permute = Callable[[int, int], Numbers]


class Draw(NamedTuple):
    """What decides which rows are held out.

    `purpose` ("validation" or "test") goes into the seeds. `fraction` is exact; `rows` is the
    number of rows it stands for. `codes` are the classes of a stratified split or the groups of one
    by groups, numbered from 0, int64 [rows].
    """

    purpose: str
    split: Split
    fraction: Fraction
    rows: int
    codes: Numbers | None = None


def draw_rows(draw: Draw, free: Mask, seed: int, permute: Permute) -> Mask:
    """Return a mask of the rows that are held out, all of them among those of the mask `free`.

    `random`: the first `rows` of a permutation of the free rows. `last`: the last `rows` of them.
    The others: see `_draw_groups` and `_draw_strata`.
    """
    rows = np.flatnonzero(free)
    match draw.split:
        case "random":
            held_out = rows[permute(len(rows), derive_seed(draw.purpose, seed))[: draw.rows]]
        case "last":
            held_out = rows[len(rows) - draw.rows :]
        case "group":
            held_out = _draw_groups(draw, rows, seed, permute)
        case "stratified":
            held_out = _draw_strata(draw, rows, seed, permute)
    mask = np.zeros(len(free), dtype=np.bool_)
    mask[held_out] = True
    return mask


def _draw_groups(draw: Draw, rows: Numbers, seed: int, permute: Permute) -> Numbers:
    """Return the rows of whole groups: in a permutation of the groups until `rows` is reached.

    At least one group is held out and at least one is not. The permutation is of the groups that
    have one of `rows`, in the order of their numbers.
    """
    assert draw.codes is not None, "a split by groups has them"
    groups, codes, sizes = np.unique(draw.codes[rows], return_inverse=True, return_counts=True)
    order = permute(len(groups), derive_seed(draw.purpose, seed))
    needed = 1 + int(np.searchsorted(np.cumsum(sizes[order]), draw.rows))
    is_held_out = np.zeros(len(groups), dtype=np.bool_)
    is_held_out[order[: min(needed, len(groups) - 1)]] = True
    return rows[is_held_out[codes]]


def _draw_strata(draw: Draw, rows: Numbers, seed: int, permute: Permute) -> Numbers:
    """Return so many rows of each class as `allot` says: the first of a permutation of its rows."""
    assert draw.codes is not None, "a stratified split has classes"
    class_rows, codes = np.bincount(draw.codes), draw.codes[rows]
    free_rows = np.bincount(codes, minlength=len(class_rows))
    shares = allot(class_rows.tolist(), free_rows.tolist(), draw.fraction, draw.rows)
    by_class = np.split(rows[np.argsort(codes, kind="stable")], np.cumsum(free_rows)[:-1])
    held_out = [
        members[permute(len(members), derive_seed(draw.purpose, seed, class_number))[:share]]
        for class_number, (members, share) in enumerate(zip(by_class, shares, strict=True))
    ]
    return np.concatenate(held_out)


def allot(class_rows: list[int], free_rows: list[int], fraction: Fraction, count: int) -> list[int]:
    """Return how many rows of each class are held out, `count` in all; one row of each stays.

    Of each class the fraction of its rows, rounded down; then one more of the classes with the
    largest remainders (of equal ones the first) until there are `count`. Where some have no row to
    give, the others give one more again, in the same order.
    """
    limits = [max(0, free - 1) for free in free_rows]
    shares = [fraction * rows for rows in class_rows]
    allotted = [min(int(share), limit) for share, limit in zip(shares, limits, strict=True)]
    order = sorted(range(len(shares)), key=lambda at: int(shares[at]) - shares[at])
    missing = count - sum(allotted)
    assert missing <= sum(limits) - sum(allotted), "a rule of the spec leaves a row of each class"
    while missing > 0:
        givers = [at for at in order if allotted[at] < limits[at]][:missing]
        for at in givers:
            allotted[at] += 1
        missing -= len(givers)
    return allotted
