"""Writes a drawing as PNG: a small rasteriser of antialiased shapes, and the file's chunks.

Lines are functions of x, so that their coverage is computed for whole columns of pixels at once.
Every picture is on the light background: a PNG cannot know its reader's.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from jobs.pictures import font
from jobs.pictures.drawing import (
    BAND_OPACITY,
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

Pixels = npt.NDArray[np.uint8]  # [height, width, 3]
Coverage = npt.NDArray[np.float32]
SUBCOLUMNS = 4  # samples in the width of a pixel
STRIP_ROWS = 64  # of a picture, drawn at once: bounds the memory
COMPRESSION = 6


def write_png(drawing: Drawing, width: int, height: int, scale: int) -> bytes:
    """Return a drawing, `scale` times as large, as a PNG of width × height, 8 bits a colour."""
    pixels = np.full((height, width, 3), _colour("background"), np.uint8)
    for item in drawing.shapes:
        _paint(pixels, item, scale)
    return encode(pixels)


def encode(pixels: Pixels) -> bytes:
    """Return pixels as a PNG file."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(lines.data, COMPRESSION)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _colour(role: Role) -> npt.NDArray[np.float32]:
    code = LIGHT[role]
    return np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)], np.float32)


def _paint(pixels: Pixels, shape: Shape, scale: int) -> None:
    match shape:
        case Rectangle():
            _paint_rectangle(pixels, shape, scale)
        case Band():
            top, bottom = (_sample(line * scale) for line in (shape.upper, shape.lower))
            _fill(pixels, top, bottom, shape.role, BAND_OPACITY)
        case Stroke():
            top, bottom = _stroke_outline(shape.points * scale, shape.width * scale / 2)
            _fill(pixels, top, bottom, shape.role)
        case Dot():
            _paint_dot(pixels, shape, scale)
        case Label():
            _paint_label(pixels, shape, scale)


def _blend(area: Pixels, coverage: Coverage, role: Role) -> None:
    """Mix a colour into an area [h, w, 3] by its coverage [h, w], 0 to 1."""
    mixed = area + (_colour(role) - area) * coverage[:, :, None]
    area[:] = np.rint(mixed).astype(np.uint8)


def _paint_rectangle(pixels: Pixels, shape: Rectangle, scale: int) -> None:
    left, top = round(shape.x * scale), round(shape.y * scale)
    right, bottom = (
        round((shape.x + shape.width) * scale),
        round((shape.y + shape.height) * scale),
    )
    pixels[max(top, 0) : bottom, max(left, 0) : right] = _colour(shape.role)


class _Outline:
    """The upper or lower edge of an area, at the subcolumns from `start` on."""

    def __init__(self, start: int, values: npt.NDArray[np.float64]) -> None:
        self.start, self.values = start, values


def _sample(points: Points) -> _Outline:
    """Return a line's y at the middle of each subcolumn that it crosses."""
    start = int(np.floor(points[0, 0] * SUBCOLUMNS))
    stop = max(start + 1, int(np.ceil(points[-1, 0] * SUBCOLUMNS)))
    x = (np.arange(start, stop) + 0.5) / SUBCOLUMNS
    return _Outline(start, np.interp(x, points[:, 0], points[:, 1]))


def _stroke_outline(points: Points, radius: float) -> tuple[_Outline, _Outline]:
    """Return the edges of what a round pen of this radius draws along a line."""
    reach = int(np.ceil(radius * SUBCOLUMNS))
    start = int(np.floor(points[0, 0] * SUBCOLUMNS)) - reach
    stop = int(np.ceil(points[-1, 0] * SUBCOLUMNS)) + reach + 1
    edges = np.arange(start, stop + 1) / SUBCOLUMNS
    at_edges = np.interp(edges, points[:, 0], points[:, 1])
    top = np.minimum(at_edges[:-1], at_edges[1:])
    bottom = np.maximum(at_edges[:-1], at_edges[1:])
    places = np.floor(points[:, 0] * SUBCOLUMNS).astype(np.int64) - start
    np.minimum.at(top, places, points[:, 1])
    np.maximum.at(bottom, places, points[:, 1])
    upper, lower = top.copy(), bottom.copy()
    for shift in range(-reach, reach + 1):
        rise = float(np.sqrt(max(0.0, radius**2 - (shift / SUBCOLUMNS) ** 2)))
        target = slice(max(0, shift), top.size + min(0, shift))
        source = slice(max(0, -shift), top.size + min(0, -shift))
        upper[target] = np.minimum(upper[target], top[source] - rise)
        lower[target] = np.maximum(lower[target], bottom[source] + rise)
    return _Outline(start, upper), _Outline(start, lower)


def _fill(pixels: Pixels, top: _Outline, bottom: _Outline, role: Role, opacity: float = 1) -> None:
    """Fill the area between two edges, which begin at the same subcolumn."""
    height, width, _ = pixels.shape
    columns, tops, bottoms = _whole_columns(top, bottom, width)
    if not columns.size:
        return
    first = max(0, int(np.floor(np.nanmin(tops))))
    last = min(height, int(np.ceil(np.nanmax(bottoms))))
    for start in range(first, last, STRIP_ROWS):
        rows = np.arange(start, min(start + STRIP_ROWS, last), dtype=np.float32)[:, None]
        coverage = np.zeros((rows.size, columns.size), np.float32)
        for at in range(SUBCOLUMNS):
            covered = np.minimum(rows + 1, bottoms[:, at]) - np.maximum(rows, tops[:, at])
            coverage += np.clip(covered, 0, 1)
        area = pixels[start : start + rows.size, columns[0] : columns[-1] + 1]
        _blend(area, coverage * (opacity / SUBCOLUMNS), role)


def _whole_columns(
    top: _Outline, bottom: _Outline, width: int
) -> tuple[npt.NDArray[np.int64], Coverage, Coverage]:
    """Return the columns of pixels that an area touches, and its edges in each [n, SUBCOLUMNS]."""
    first = max(0, top.start // SUBCOLUMNS)
    last = min(width - 1, (top.start + top.values.size - 1) // SUBCOLUMNS)
    columns = np.arange(first, last + 1)
    wanted = np.arange(first * SUBCOLUMNS, (last + 1) * SUBCOLUMNS) - top.start
    is_inside = (wanted >= 0) & (wanted < top.values.size)
    places = np.clip(wanted, 0, top.values.size - 1)
    # an empty area, where the line does not reach
    tops = np.where(is_inside, top.values[places], 1.0).astype(np.float32)
    bottoms = np.where(is_inside, bottom.values[places], 0.0).astype(np.float32)
    return columns, tops.reshape(-1, SUBCOLUMNS), bottoms.reshape(-1, SUBCOLUMNS)


def _paint_dot(pixels: Pixels, dot: Dot, scale: int) -> None:
    x, y, radius = dot.x * scale, dot.y * scale, dot.radius * scale
    left, top = max(0, int(x - radius) - 1), max(0, int(y - radius) - 1)
    area = pixels[top : int(y + radius) + 2, left : int(x + radius) + 2]
    rows = np.arange(top, top + area.shape[0])[:, None] + 0.5
    columns = np.arange(left, left + area.shape[1]) + 0.5
    distance = np.hypot(columns - x, rows - y)
    coverage = np.clip(radius + 0.5 - distance, 0, 1)
    if dot.is_ring:
        coverage -= np.clip(radius - 2 * scale + 0.5 - distance, 0, 1)
    _blend(area, coverage.astype(np.float32), dot.role)


def _paint_label(pixels: Pixels, label: Label, scale: int) -> None:
    mask = font.text_mask(label.text, is_bold=label.is_bold)
    mask = mask.repeat(scale, axis=0).repeat(scale, axis=1)
    shares = {"start": 0.0, "middle": 0.5, "end": 1.0}
    left = round(label.x * scale - mask.shape[1] * shares[label.anchor])
    top = round((label.y - font.BASELINE) * scale)
    for rows, columns in _visible(mask, left, top, pixels):
        area = pixels[
            top + rows.start : top + rows.stop, left + columns.start : left + columns.stop
        ]
        area[mask[rows, columns]] = _colour(label.role)


def _visible(
    mask: npt.NDArray[np.bool_], left: int, top: int, pixels: Pixels
) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of a mask that lie on the picture, if any do."""
    height, width, _ = pixels.shape
    rows = slice(max(0, -top), min(mask.shape[0], height - top))
    columns = slice(max(0, -left), min(mask.shape[1], width - left))
    if rows.stop > rows.start and columns.stop > columns.start:
        yield rows, columns
