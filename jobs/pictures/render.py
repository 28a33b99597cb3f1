"""The forms of a curve's picture, and how large each may be. Knows no HTTP."""

from typing import Literal

from jobs.pictures import layout, png, svg, text
from jobs.pictures.curve import Curve

Form = Literal["svg", "png", "txt"]
#: pixels
MIN_WIDTH, MAX_WIDTH, DEFAULT_WIDTH = 100, 2000, 800
MIN_HEIGHT, MAX_HEIGHT, DEFAULT_HEIGHT = 60, 1200, 400
#: characters
MIN_TEXT_WIDTH, MAX_TEXT_WIDTH, DEFAULT_TEXT_WIDTH = 16, 400, 64
MIN_TEXT_HEIGHT, MAX_TEXT_HEIGHT, DEFAULT_TEXT_HEIGHT = 2, 100, 12
MAX_POINTS = 2000
#: a bucket's width in a picture, where the request does not say how many there are
PIXELS_PER_POINT = 2
#: PNGs from this size on have everything twice as large, as screens of high density want it
LARGE_WIDTH, LARGE_HEIGHT = 1200, 600


def render(curve: Curve, form: Form, width: int, height: int, log: bool | None) -> bytes:
    """Return the picture: the same bytes for the same curve. `log` None chooses by the values."""
    if form == "txt":
        return text.write_text(curve, width, height, log).encode()
    if form == "svg":
        return svg.write_svg(layout.draw_curve(curve, width, height, log))
    scale = 2 if width >= LARGE_WIDTH and height >= LARGE_HEIGHT else 1
    drawing = layout.draw_curve(curve, -(-width // scale), -(-height // scale), log)
    return png.write_png(drawing, width, height, scale)


def default_points(form: Form, width: int) -> int:
    """Return how many buckets a picture of this width shows."""
    return width * text.CELL_WIDTH if form == "txt" else max(1, width // PIXELS_PER_POINT)
