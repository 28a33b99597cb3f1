"""Views of a history: every tick in one bucket, exact extremes, made of rows and ragged ends."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.history import downsampling, learning_rate
from jobs.history.summary_rows import BUCKET, ROW, Edges, Summaries, summarize

Float32 = npt.NDArray[np.float32]
View = Callable[["Recorded", Edges], Summaries]


class Recorded:
    """A column in memory, with its rows made in advance; counts the ticks read one by one."""

    def __init__(self, values: Float32) -> None:
        self._values = values
        self._rows = summarize(values[: values.size // BUCKET * BUCKET])
        self.read = 0

    def values(self, first: int, last: int) -> Float32:
        self.read += last - first + 1
        return self._values[first - 1 : last]

    def rows(self, start: int, stop: int) -> Summaries:
        assert 0 <= start <= stop <= self._rows.size
        return self._rows[start:stop]


def downsample(column: Recorded, edges: Edges) -> Summaries:
    return downsampling.downsample(column.values, column.rows, edges)


def losses(ticks: int, seed: int = 0) -> Float32:
    """Noise with rare peaks and three values that are no numbers: a missed tick shows."""
    draw = np.random.default_rng(seed)
    values = (draw.standard_normal(ticks) * 10.0 ** draw.integers(-3, 4, ticks)).astype(np.float32)
    values[draw.integers(0, ticks, 3)] = [np.nan, np.inf, -np.inf]
    return values


def agrees(values: Float32, edges: Edges, tallies: Summaries) -> bool:
    """Compare each bucket with what its own values come to, one by one."""
    for start, stop, bucket in zip(edges[:-1], edges[1:], tallies, strict=True):
        mine = values[start - 1 : stop - 1].astype(np.float64)
        finite = mine[np.isfinite(mine)]
        same = (
            bucket["finite"] == finite.size
            and bucket["nonfinite"] == mine.size - finite.size
            and bucket["min"] == finite.min(initial=np.inf)
            and bucket["max"] == finite.max(initial=-np.inf)
            and np.isclose(bucket["sum"], finite.sum(), rtol=1e-9, atol=1e-6)
        )
        if not same:
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 300))
def test_every_tick_is_in_one_bucket_and_there_are_as_many_as_asked(
    one: int, other: int, points: int
) -> None:
    first, last = sorted((one, other))
    edges = downsampling.bucket_edges(first, last, points)
    assert edges[0] == first and edges[-1] == last + 1
    assert np.all(np.diff(edges) >= 1)
    assert edges.size - 1 == min(points, last - first + 1) or edges.size - 1 == (
        downsampling.row_of(last) - downsampling.row_of(first) + 1
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 40))
def test_a_view_of_any_range_agrees_with_its_values(one: int, other: int, points: int) -> None:
    values = losses(20_000)
    first, last = sorted((one, other))
    edges = downsampling.bucket_edges(first, last, points)
    assert agrees(values, edges, downsample(Recorded(values), edges))


def test_a_long_range_reads_its_ragged_ends_only() -> None:
    values = losses(3_000_000)
    column = Recorded(values)
    edges = downsampling.bucket_edges(1000, 2_999_999, 1000)
    view_result = downsample(column, edges)
    assert edges.size - 1 == 1000
    assert column.read < 2 * BUCKET
    assert agrees(values, edges, view_result)


def test_a_hundred_million_ticks_are_cut_between_rows() -> None:
    edges = downsampling.bucket_edges(77, 10**8, 1000)
    assert edges.size - 1 == 1000
    assert np.all(edges[1:-1] % BUCKET == 1)


def test_no_view_reads_more_than_a_million_values() -> None:
    edges = downsampling.bucket_edges(2, 9_000_000, 100_000)
    assert np.all(edges[1:-1] % BUCKET == 1)


def mutant_rows_for_ends(column: Recorded, edges: Edges) -> Summaries:
    """Forgets that the ends are ragged: takes the whole row for each end."""
    return downsample(column, np.unique(np.clip((edges - 1) // BUCKET * BUCKET + 1, 1, None)))


def mutant_no_ends(column: Recorded, edges: Edges) -> Summaries:
    """Leaves the ragged ends out."""
    inner = edges.copy()
    inner[0] = -(-(edges[0] - 1) // BUCKET) * BUCKET + 1
    inner[-1] = (edges[-1] - 1) // BUCKET * BUCKET + 1
    return downsample(column, inner)


def mutant_counts_nan(column: Recorded, edges: Edges) -> Summaries:
    """Takes a NaN for a number of its own."""
    view_result = downsample(column, edges)
    view_result["finite"] += view_result["nonfinite"]
    return view_result


@pytest.mark.parametrize("mutant", [mutant_rows_for_ends, mutant_no_ends, mutant_counts_nan])
def test_a_wrong_view_is_noticed(mutant: View) -> None:
    values = losses(10_000)
    edges = downsampling.bucket_edges(1000, 9001, 4)
    assert agrees(values, edges, downsample(Recorded(values), edges))
    assert not agrees(values, edges, mutant(Recorded(values), edges))


def test_a_bucket_without_a_number_has_neutral_extremes_and_no_finite_value() -> None:
    nothing = summarize(np.full(BUCKET, np.nan, np.float32))
    assert nothing.dtype == ROW and ROW.itemsize == 24
    assert nothing[0].tolist() == (np.inf, -np.inf, 0.0, 0, BUCKET)


def warm_then_falling(tick: int) -> float:
    return 0.1 * tick / 5000 if tick <= 5000 else 0.1 * (1 - (tick - 5001) / 95_000)


@pytest.mark.parametrize("last", [30_000, 100_000])
def test_the_view_of_a_rate_has_its_exact_extremes_and_its_mean(last: int) -> None:
    edges = downsampling.bucket_edges(3, last, 7)
    view_result = learning_rate.downsample_rates(warm_then_falling, edges, [5000, 5001])
    every = learning_rate.compute_rates(warm_then_falling, 1, last)
    for start, stop, bucket in zip(edges[:-1], edges[1:], view_result, strict=True):
        mine = every[start - 1 : stop - 1]
        assert (bucket["min"], bucket["max"]) == (mine.min(), mine.max())
        assert bucket["sum"] / bucket["finite"] == pytest.approx(mine.mean(), rel=1e-3)


def test_a_rate_view_that_knows_no_warmup_is_noticed() -> None:
    edges = downsampling.bucket_edges(1, 100_000, 7)
    peak = learning_rate.downsample_rates(warm_then_falling, edges, [])["max"].max()
    assert peak < max(map(warm_then_falling, (5000, 5001)))
