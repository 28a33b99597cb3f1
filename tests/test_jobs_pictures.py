"""Pictures of curves: SVG, PNG and text, without any service."""

import json
import math
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from jobs.history.curves import Series
from jobs.job import BestValidation, Job
from jobs.pictures.axis import Axis, make_axis, tick_text
from jobs.pictures.curve import make_curve as curve_of_job
from jobs.pictures.layout import draw_curve
from jobs.pictures.panels import NOTHING_FINITE, NOTHING_POSITIVE, NOTHING_YET
from jobs.pictures.png import write_png
from jobs.pictures.render import Form, render
from jobs.pictures.svg import CONTENT_SECURITY_POLICY, STYLE, write_svg
from tests.curves import make_curve, make_series
from tests.support import ROOT

SVG = "{http://www.w3.org/2000/svg}"
WHITE = (255, 255, 255)
NAN, INF = math.nan, math.inf
#: values -> what a picture of them says on each scale; None: a line or a dot is drawn
CASES: dict[str, tuple[list[float], str | None, str | None]] = {
    "falls": ([4.0, 2.0, 1.0, 0.5], None, None),
    "one tick": ([2.0], None, None),
    "no tick": ([], NOTHING_YET, NOTHING_YET),
    "constant": ([2.0] * 5, None, None),
    "zeros": ([0.0, 0.0], None, NOTHING_POSITIVE),
    "negative": ([-1.0, -2.0], None, NOTHING_POSITIVE),
    "both signs": ([-1.0, 1.0, 3.0], None, None),
    "extremes": ([1e-45, 3.4e38], None, None),
    "overflowing": ([-1.7e308, 1.7e308], None, None),
    "gaps": ([NAN, 1.0, INF, 2.0, 3.0], None, None),
    "nothing finite": ([NAN, -INF], NOTHING_FINITE, NOTHING_FINITE),
}


def read_png(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a PNG as the standard says, checksums included -> [height, width, 3]."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + length : at + 12 + length])
        chunks[kind], at = body, at + 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 2, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 3)


def texts(svg: bytes) -> list[str]:
    return [str(element.text) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("is_log", [None, False, True])
@pytest.mark.parametrize("case", CASES)
def test_any_values_are_drawn_in_every_form_and_the_same_bytes_again(
    case: str, is_log: bool | None
) -> None:
    values, linear, logarithmic = CASES[case]
    expected = logarithmic if is_log else linear
    curve = make_curve(make_series(values))
    svg, text = (render(curve, form, 200, 100, is_log) for form in ("svg", "txt"))
    assert (svg, text) == (render(curve, "svg", 200, 100, is_log), text)

    elements = list(ElementTree.fromstring(svg).iter())
    drawn = [item for item in elements if item.tag in (f"{SVG}path", f"{SVG}circle")]
    assert bool(drawn) == (expected is None)
    assert (expected in texts(svg)) == (expected is not None)
    assert (text.decode() == f"({expected})\n") == (expected is not None)
    assert b"nan" not in svg
    assert b"inf" not in svg.replace(b"<title>", b"")
    png = render(curve, "png", 200, 100, is_log)
    assert png == render(curve, "png", 200, 100, is_log)
    assert read_png(png).shape == (100, 200, 3)


def test_a_name_is_escaped_and_nothing_in_the_picture_can_run_or_load() -> None:
    name = '</title><script>alert(1)</script>&"\x1b\u202e]]>'
    svg = render(make_curve(make_series([1.0, 2.0]), name=name), "svg", 800, 400, None)
    assert b"<script" not in svg
    assert b"\x1b" not in svg
    assert texts(svg)[0].replace("\ufffd", "") == '</title><script>alert(1)</script>&"]]>'
    root = ElementTree.fromstring(svg)
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert names <= {"svg", "title", "style", "rect", "path", "circle", "text"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or "href" in name}
    assert "url(" not in STYLE
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; sandbox;")


def test_a_line_falls_from_the_upper_left_to_the_lower_right_in_both_pictures() -> None:
    curve = make_curve(make_series([4.0, 3.0, 2.0, 1.0]))
    drawing = draw_curve(curve, 300, 200, log=False)
    pixels = read_png(write_png(drawing, 300, 200, 1))
    blue = np.argwhere((pixels[:, :, 2] > 200) & (pixels[:, :, 0] < 120))[3:]
    blue = blue[blue[:, 0] > 50]  # below the legend
    first, last = blue[blue[:, 1].argmin()], blue[blue[:, 1].argmax()]
    assert first[0] < 80 < 140 < last[0]
    assert len(set(blue[:, 1])) == last[1] - first[1] + 1, "the line has a gap"

    path = next(ElementTree.fromstring(write_svg(drawing)).iter(f"{SVG}path"))
    points = [tuple(map(float, pair.split())) for pair in path.attrib["d"][1:].split("L")]
    assert all(before[0] < after[0] and before[1] < after[1] for before, after in pairwise(points))


def test_a_line_has_a_gap_where_values_are_not_finite_and_says_how_many() -> None:
    curve = make_curve(make_series([1.0, 2.0, NAN, 2.0, 1.0, INF]))
    svg = render(curve, "svg", 400, 200, None)
    strokes = [
        element
        for element in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if element.attrib["class"].startswith("s ")
    ]
    assert len(strokes) == 2
    assert "not finite: 2" in texts(svg)
    assert "! not finite: 2" in render(curve, "txt", 64, 4, None).decode()


def test_the_validation_and_the_best_are_marked_and_two_quantities_have_two_axes() -> None:
    loss, rate = make_series([4.0, 3.0, 2.0, 1.0]), make_series([0.5] * 4, "lr")
    validation = make_series([3.5, 2.5], "val_loss", [2, 4])
    best = BestValidation(metric="val_loss", tick=4, value=2.5)
    curve = make_curve(loss, rate, validation, best=best)
    svg = render(curve, "svg", 600, 300, None)
    assert {"loss 1", "val_loss 2.5", "best 2.5 at 4", "lr 0.5"} <= set(texts(svg))
    circles = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    rings = [circle for circle in circles if circle.attrib["class"] == "s best-l"]
    assert [ring.attrib["cx"] for ring in rings][0] > "500"
    anchors = [
        element.attrib.get("text-anchor", "start")
        for element in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if element.attrib["class"] == "second"
    ]
    assert set(anchors) == {"start"}, "the second axis is at the right"

    text = render(curve, "txt", 64, 8, None).decode()
    assert "loss 1   o val_loss 2.5   X best 2.5 at 4" in text
    assert "lr 0.5" in text
    rows = [line.partition("│")[2] for line in text.splitlines()[1:9]]
    assert sum(row.count("o") for row in rows) == 1, "the other point is the best"
    assert sum(row.count("X") for row in rows) == 1


def test_a_text_is_no_wider_than_asked_and_its_line_has_no_gap() -> None:
    text = render(make_curve(make_series([1.0, 9.0])), "txt", 20, 5, False).decode()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 32
    rows = [line.partition("│")[2].ljust(20) for line in lines[1:6]]
    assert all(any(row[at] != " " for row in rows) for at in range(20))
    assert lines[1].lstrip().startswith("9 │")
    assert lines[5].lstrip().startswith("1 │")
    assert lines[-1].split() == ["1", "tick", "2"]


@pytest.mark.parametrize("form", ["svg", "txt"])
def test_a_legend_has_the_last_value_and_not_the_mean_of_the_last_ticks(form: Form) -> None:
    columns = make_series([4.0, 2.0]), make_series([5.0, 3.0], "val_loss")
    newest = {"loss": 0.125, "val_loss": None, "lr": 0.5}
    drawn = render(make_curve(*columns, newest=newest), form, 320, 160, None).decode()
    assert "loss 0.125" in drawn and "val_loss 3" in drawn


def test_a_long_name_is_cut_and_labels_stay_on_the_picture() -> None:
    curve = make_curve(make_series([1.0, 2.0]), name="x" * 500, standing="failed: " + "y" * 300)
    for width in (100, 480, 2000):
        drawing = draw_curve(curve, width, 200, None)
        labels = [shape for shape in drawing.shapes if hasattr(shape, "anchor")]
        assert all(len(label.text) * 6 <= width for label in labels)


@pytest.mark.parametrize(
    ("low", "high", "is_log"),
    [(0.01, 3, True), (1, 12, True), (1e-45, 1e38, True), (0.2, 0.21, False), (0, 0, False),
     (-3, 5e7, False), (1, 10**8, False), (-1e300, 1e300, False)],
)  # fmt: skip
def test_marks_are_few_and_lie_within_the_axis(low: float, high: float, is_log: bool) -> None:
    for count in (2, 4, 9):
        marks = Axis(low, high, is_log).marks(count)
        assert 1 <= len(marks) <= count + 1
        assert all(low <= mark <= high for mark in marks)
        assert marks == sorted(set(marks))


def test_a_log_scale_is_chosen_for_values_above_0_that_span_a_factor_of_20() -> None:
    for values, is_log in (([1, 19], False), ([1, 21], True), ([0, 21], False), ([-1, 50], False)):
        axis = make_axis(np.array(values, np.float64), None)
        assert axis is not None
        assert axis.is_log == is_log
    assert [tick_text(tick) for tick in (7, 12_000, 2_500_000, 10**9)] == [
        "7", "12,000", "2.5M", "1G",
    ]  # fmt: skip


def test_the_readmes_picture_is_what_its_history_is_drawn_as_today() -> None:
    stored = json.loads((ROOT / "tests" / "data" / "digits_curve.json").read_text())
    series = [
        Series(
            name, name.startswith("val_"),
            *(np.array(view[part], np.int64) for part in ("tick_first", "tick_last")),
            *(np.array(view[part], np.float64) for part in ("min", "max", "mean")),
            np.array(view["nonfinite"], np.int64),
        )
        for name, view in stored["columns"].items()
    ]  # fmt: skip
    best = BestValidation(**stored["job"].pop("best"))
    job = Job.model_construct(**stored["job"], best=best)
    picture = render(curve_of_job(job, series), "svg", *stored["size"], None)
    assert picture == (ROOT / "docs" / "curve.svg").read_bytes(), "make picture"
    assert "(docs/curve.svg)" in (ROOT / "README.md").read_text()
