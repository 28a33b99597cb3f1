"""Which rows are held out: each split against a slow reading of its rule."""

from collections import Counter
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jobs.sampling.randperm import _draw_words, randperm
from jobs.sampling.seeds import derive_seed
from jobs.sampling.splits import Draw, allot, draw_rows
from jobs.spec.held_out import count_binary_share, count_share

SEEDS = st.integers(0, 2**64 - 1)
FRACTIONS = st.integers(1, 50).map(lambda percent: Fraction(percent, 100))


def torch_order(count: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator).tolist()


def drawn(split: Any, fraction: Fraction, free: list[int], rows: int, seed: int,
          codes: list[int] | None = None, purpose: str = "validation") -> list[int]:  # fmt: skip
    """The rows that are held out."""
    mask = np.zeros(rows, dtype=np.bool_)
    mask[free] = True
    numbers = None if codes is None else np.array(codes, dtype=np.int64)
    draw = Draw(purpose, split, fraction, floor(fraction * rows), numbers)
    return np.flatnonzero(draw_rows(draw, mask, seed, randperm)).tolist()


@given(st.integers(0, 700), SEEDS)
def test_randperm_is_torchs(count: int, seed: int) -> None:
    assert randperm(count, seed).tolist() == torch_order(count, seed)


@pytest.mark.parametrize("count", [65_535, 65_536, 65_537, 200_000])
def test_randperm_is_torchs_across_blocks(count: int) -> None:
    assert randperm(count, 7).tolist() == torch_order(count, 7)


def test_from_214_million_rows_on_a_random_number_has_64_bits() -> None:
    small, large = (np.random.MT19937(5) for _ in range(2))
    words = _draw_words(small, 8, is_small=True).tolist()
    pairs = zip(words[::2], words[1::2], strict=True)
    assert _draw_words(large, 4, is_small=False).tolist() == [a << 32 | b for a, b in pairs]


@given(st.data(), FRACTIONS, SEEDS)
def test_a_random_split_is_the_head_of_torchs_permutation_of_the_free_rows(
    data: st.DataObject, fraction: Fraction, seed: int
) -> None:
    rows = data.draw(st.integers(2, 80))
    free = sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=rows // 2, max_size=rows)))
    order = torch_order(len(free), derive_seed("validation", seed))
    expected = sorted(free[at] for at in order[: floor(fraction * rows)])
    assert drawn("random", fraction, free, rows, seed) == expected


def test_the_last_rows_are_those_before_the_ones_taken() -> None:
    assert drawn("last", Fraction(3, 10), list(range(10)), 10, 1) == [7, 8, 9]
    assert drawn("last", Fraction(3, 10), [0, 1, 2, 4, 6], 10, 1) == [2, 4, 6]


@given(st.data(), FRACTIONS, SEEDS)
def test_groups_are_held_out_whole_in_the_seeds_order_until_the_fraction_is_reached(
    data: st.DataObject, fraction: Fraction, seed: int
) -> None:
    codes = data.draw(st.lists(st.integers(0, 6), min_size=2, max_size=60))
    rows = len(codes)
    free = sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=1)))
    held_out = drawn("group", fraction, free, rows, seed, codes, "test")

    sizes = Counter(codes[row] for row in free)
    groups = sorted(sizes)
    taken: list[int] = []
    for at in torch_order(len(groups), derive_seed("test", seed)):
        is_reached = bool(taken) and sum(sizes[one] for one in taken) >= floor(fraction * rows)
        if not is_reached and len(taken) < len(groups) - 1:
            taken.append(groups[at])
    assert held_out == [row for row in free if codes[row] in taken]


def slow_allotment(rows: list[int], free: list[int], fraction: Fraction, total: int) -> list[int]:
    """What `allot` says, one row at a time."""
    taken = [0 for _ in rows]
    for at, count in enumerate(rows):
        while taken[at] + 1 <= fraction * count and free[at] - taken[at] > 1:
            taken[at] += 1
    order = sorted(range(len(rows)), key=lambda at: (-(fraction * rows[at] % 1), at))
    while sum(taken) < total:
        for at in order:
            if sum(taken) < total and free[at] - taken[at] > 1:
                taken[at] += 1
    return taken


@given(st.data(), FRACTIONS)
def test_every_class_gives_its_share_and_keeps_a_row(
    data: st.DataObject, fraction: Fraction
) -> None:
    rows = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=8))
    free = [data.draw(st.integers((count + 1) // 2, count)) for count in rows]
    total = min(floor(fraction * sum(rows)), sum(max(0, count - 1) for count in free))
    floors = sum(min(floor(fraction * n), max(0, f - 1)) for n, f in zip(rows, free, strict=True))
    total = max(total, floors)
    allotted = allot(rows, free, fraction, total)
    assert allotted == slow_allotment(rows, free, fraction, total)
    assert sum(allotted) == total
    assert all(taken < left for taken, left in zip(allotted, free, strict=True) if left)


@given(st.data(), FRACTIONS, SEEDS)
def test_a_stratified_split_takes_the_head_of_a_permutation_of_each_class(
    data: st.DataObject, fraction: Fraction, seed: int
) -> None:
    codes = data.draw(st.lists(st.integers(0, 3), min_size=8, max_size=60))
    rows, classes = len(codes), max(codes) + 1
    held_out = drawn("stratified", fraction, list(range(rows)), rows, seed, codes)
    sizes = [codes.count(code) for code in range(classes)]
    shares = slow_allotment(sizes, sizes, fraction, floor(fraction * rows))
    expected = []
    for code, share in enumerate(shares):
        members = [row for row in range(rows) if codes[row] == code]
        order = torch_order(len(members), derive_seed("validation", seed, code))
        expected += [members[at] for at in order[:share]]
    assert held_out == sorted(expected)
    assert len(held_out) == floor(fraction * rows)


def test_a_class_of_one_row_stays_in_training() -> None:
    codes = [0] * 9 + [1]
    for seed in range(20):
        assert 9 not in drawn("stratified", Fraction(1, 2), list(range(10)), 10, seed, codes)


def test_a_share_is_that_of_the_decimal_as_written() -> None:
    assert count_share(0.29, 100) == 29 and count_binary_share(0.29, 100) == 28
    for percent in range(1, 51):
        for rows in (10, 100, 150, 1000, 12_345):
            assert count_share(percent / 100, rows) == percent * rows // 100
    assert count_share(1e-7, 10**7) == 1 and count_share(0.5, 3) == 1
