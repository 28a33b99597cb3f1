"""A drawing as values: shapes in pixels with y downwards, each in the colour of a role."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Role = Literal[
    "background", "text", "muted", "grid", "first", "second", "third", "fourth", "best", "bad"
]  # fmt: skip
Points = npt.NDArray[np.float64]

#: of a light background, and of a dark one
LIGHT: dict[Role, str] = {
    "background": "#ffffff", "text": "#1f2328", "muted": "#656d76", "grid": "#e4e7eb",
    "first": "#2563eb", "second": "#c2410c", "third": "#0f766e", "fourth": "#9333ea",
    "best": "#15803d", "bad": "#cf222e",
}  # fmt: skip
DARK: dict[Role, str] = {
    "background": "#0d1117", "text": "#e6edf3", "muted": "#8d96a0", "grid": "#2a313a",
    "first": "#60a5fa", "second": "#fb923c", "third": "#2dd4bf", "fourth": "#c084fc",
    "best": "#4ade80", "bad": "#ff7b72",
}  # fmt: skip
#: of a band, over the background
BAND_OPACITY = 0.22


@dataclass(frozen=True)
class Rectangle:
    """A filled rectangle; thin ones are lines."""

    x: float
    y: float
    width: float
    height: float
    role: Role


@dataclass(frozen=True)
class Band:
    """The area between two lines [n, 2] with the same, ascending x."""

    upper: Points
    lower: Points
    role: Role


@dataclass(frozen=True)
class Stroke:
    """A line through points [n, 2] with ascending x."""

    points: Points
    width: float
    role: Role


@dataclass(frozen=True)
class Dot:
    """A disc, or a ring of 2 pixels."""

    x: float
    y: float
    radius: float
    role: Role
    is_ring: bool = False


@dataclass(frozen=True)
class Label:
    """One line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    role: Role
    anchor: Literal["start", "middle", "end"] = "start"
    is_bold: bool = False


Shape = Rectangle | Band | Stroke | Dot | Label


@dataclass
class Drawing:
    """Shapes in the order in which they are drawn, on `width` × `height` pixels."""

    width: int
    height: int
    title: str
    shapes: list[Shape] = field(default_factory=list)
