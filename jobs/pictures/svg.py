"""Writes a drawing as SVG: no script, nothing from elsewhere, light and dark as the reader has it.

All texts are escaped. The one style sheet is constant, so that a policy can name its hash.
"""

import base64
import hashlib
from xml.sax.saxutils import escape

import numpy as np

from jobs.pictures.drawing import (
    BAND_OPACITY,
    DARK,
    LIGHT,
    Band,
    Dot,
    Drawing,
    Label,
    Points,
    Rectangle,
    Role,
    Shape,
    Stroke,
)

FONT = "11px ui-sans-serif,system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
BOLD_SIZE = "13px"


def _colours(palette: dict[Role, str]) -> str:
    fills = (f".{role}{{fill:{colour}}}" for role, colour in palette.items())
    lines = (f".{role}-l{{stroke:{colour}}}" for role, colour in palette.items())
    return "".join([*fills, *lines])


STYLE = (
    f"text{{font:{FONT}}}.b{{font-size:{BOLD_SIZE};font-weight:600}}"
    f".s{{fill:none;stroke-linejoin:round;stroke-linecap:round}}.a{{fill-opacity:{BAND_OPACITY}}}"
    f"{_colours(LIGHT)}@media(prefers-color-scheme:dark){{{_colours(DARK)}}}"
)
#: of the response: nothing is loaded or run; of styles this very one is used
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; sandbox; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def write_svg(drawing: Drawing) -> bytes:
    """Return a drawing as an SVG document of that size, which scales."""
    width, height = drawing.width, drawing.height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">'
    )
    parts = [
        head,
        f"<title>{_text(drawing.title)}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="background" width="100%" height="100%" rx="6"/>',
        *map(_shape, drawing.shapes),
        "</svg>\n",
    ]
    return "\n".join(parts).encode()


def _shape(shape: Shape) -> str:
    match shape:
        case Rectangle():
            x, y, width, height = map(_number, (shape.x, shape.y, shape.width, shape.height))
            return f'<rect class="{shape.role}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
        case Band():
            outline = _path(np.concatenate([shape.upper, shape.lower[::-1]]))
            return f'<path class="a {shape.role}" d="{outline}Z"/>'
        case Stroke():
            width = _number(shape.width)
            line = f'class="s {shape.role}-l" stroke-width="{width}"'
            return f'<path {line} d="{_path(shape.points)}"/>'
        case Dot():
            return _dot(shape)
        case Label():
            return _label(shape)


def _dot(dot: Dot) -> str:
    at = f'cx="{_number(dot.x)}" cy="{_number(dot.y)}"'
    if dot.is_ring:
        ring = f'class="s {dot.role}-l" stroke-width="2"'
        return f'<circle {ring} {at} r="{_number(dot.radius - 1)}"/>'
    return f'<circle class="{dot.role}" {at} r="{_number(dot.radius)}"/>'


def _label(label: Label) -> str:
    anchor = "" if label.anchor == "start" else f' text-anchor="{label.anchor}"'
    classes = f"b {label.role}" if label.is_bold else label.role
    at = f'x="{_number(label.x)}" y="{_number(label.y)}"'
    return f'<text class="{classes}" {at}{anchor}>{_text(label.text)}</text>'


def _path(points: Points) -> str:
    pairs = [f"{x:.1f} {y:.1f}" for x, y in points.tolist()]
    return "M" + "L".join(pairs)


def _number(value: float) -> str:
    return f"{round(value, 1):g}"


def _text(text: str) -> str:
    """Escape a text; characters that XML forbids, and those that turn its direction, are shown."""
    return escape("".join(char if char.isprintable() else "\ufffd" for char in text))
