"""The splits and batches that a process of the API keeps between pages: bounded, whatever they are.

A job of a text has no stored rows, and a tick's batch has few: neither is free.
"""

import pytest

from jobs.datasets.job_row_reader import ROWS_PER_ENTRY, RowCache

LIMIT = 10 * ROWS_PER_ENTRY


@pytest.mark.parametrize(
    ("rows", "count"), [(0, 10), (1, 9), (ROWS_PER_ENTRY, 5), (LIMIT, 1), (100 * LIMIT, 1)]
)
def test_so_many_values_are_kept_whether_they_have_rows_or_not(rows: int, count: int) -> None:
    cache = RowCache[str](LIMIT)
    for number in range(100):
        assert cache.get_or_make(str(number), lambda: ("value", rows)) == "value"
    assert len(cache) == count


def test_the_values_used_last_are_kept_and_made_once() -> None:
    cache, loaded = RowCache[str](3 * ROWS_PER_ENTRY), list[str]()

    def get(key: str) -> str:
        return cache.get_or_make(key, lambda: (loaded.append(key) or key, 0))

    assert [get(key) for key in "abcabcadaabd"] == list("abcabcadaabd")
    assert loaded == list("abcd") + ["b"]


def test_a_value_that_two_threads_made_counts_once() -> None:
    cache = RowCache[str](4 * ROWS_PER_ENTRY)
    inner = lambda: (cache.get_or_make("a", lambda: ("first", 0)), 0)  # noqa: E731 as if meanwhile
    for _ in range(20):
        assert cache.get_or_make("a", inner) == "first"
    for key in "bcd":
        cache.get_or_make(key, lambda: ("value", 0))
    assert len(cache) == 4
