"""The curve in the terminal."""

import math

import pytest

from tickforge_client.chart import Point, can_show, draw, mean_points


def curve(values: list[float]) -> list[Point]:
    return [Point(tick, value) for tick, value in enumerate(values, start=1)]


def cells(lines: list[str]) -> list[str]:
    return [line.split("│")[1] for line in lines[:-2]]


def test_a_falling_line_goes_from_the_upper_left_to_the_lower_right() -> None:
    rows = cells(draw(curve([4.0, 3.0, 2.0, 1.0]), width=8, height=4))
    assert rows[0][0] != " "
    assert rows[-1][-1] != " "
    assert rows[0][-1] == rows[-1][0] == " "


def test_the_line_has_no_gap_however_few_points_there_are() -> None:
    rows = cells(draw(curve([1.0, 9.0]), width=20, height=5))
    assert all(any(row[at] != " " for row in rows) for at in range(20))
    assert all(row.strip() for row in rows)


def test_the_axis_names_the_extremes_and_the_ticks() -> None:
    lines = draw([Point(1, 2.5), Point(10_000, 0.5)], width=40, height=6)
    assert lines[0].lstrip().startswith("2.5 │")
    assert lines[-3].lstrip().startswith("0.5 │")
    assert lines[-1].split() == ["1", "tick", "10,000"]


def test_decades_are_drawn_on_a_log_scale() -> None:
    lines = draw(curve([100.0, 10.0, 1.0]), width=21, height=5)
    assert "log scale" in lines[-1]
    middle = cells(lines)[2]
    assert middle[9:12].strip()


@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [2.0] * 5,
        [0.0, 0.0],
        [-1.0, 1.0],
        [1e-45, 3.4e38],
        [-1.7e308, 1.7e308],
        [math.nan, 1.0, math.inf, 2.0],
    ],
)
def test_any_values_can_be_drawn(values: list[float]) -> None:
    lines = draw(curve(values), width=10, height=4)
    assert len(lines) == 6
    assert any(row.strip() for row in cells(lines))


def test_a_chart_without_a_finite_value_says_so() -> None:
    assert draw(curve([math.nan])) == draw([]) == ["(nothing to draw yet)"]


def test_a_chart_without_unicode_is_drawn_in_ascii() -> None:
    assert not can_show("ascii")
    assert not can_show(None)
    assert can_show("utf-8")
    "\n".join(draw(curve([3.0, 1.0, 2.0]), braille=False)).encode("ascii")


def test_a_bucket_without_a_finite_value_is_left_out() -> None:
    view = {"loss": {"tick_first": [1, 3], "tick_last": [2, 4], "mean": [0.5, None]}}
    assert mean_points(view, "loss") == [Point(1.5, 0.5)]
