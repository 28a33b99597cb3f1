"""The weights that a job begins with, where they are another job's: what is asked, and what fits.

Weights alone: the optimizer begins fresh, at tick 1. Compares names and shapes; knows no file.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from jobs.spec.base import MAX_TICKS, SpecModel
from models.strict_models import StrictModel
from models.strict_numbers import INTEGRAL
from models.weight_shapes import Shapes

JobId = Annotated[str, Field(pattern=r"^job_[a-z0-9]{26}$")]


class Init(StrictModel):
    """A checkpoint of another job, whose weights a job begins with."""

    job: JobId
    tick: Annotated[int, Field(ge=0, le=MAX_TICKS), INTEGRAL] | None = None
    """Of a kept checkpoint; null: the newest, whose tick is then shown."""
    strict: bool = True
    """false: what does not fit is left out, with a warning, and is drawn by the seed instead."""


class InitWeights(SpecModel):
    """The job's own copy of these weights, and what of it is taken."""

    path: str
    """Relative to the artifacts' root."""
    sha256: str
    bytes: int
    names: list[str]
    """Of the weights and buffers that are taken."""
    left_out: list[str] = []
    """What does not fit, in words."""


def find_misfits(here: Shapes, there: Shapes) -> Iterator[tuple[str, str]]:
    """Yield name and rule of each weight that the net and the checkpoint do not share."""
    for name in dict.fromkeys([*here, *there]):
        if here.get(name) != there.get(name):
            ours, theirs = _show(here, name), _show(there, name)
            yield name, f"{name} is {theirs} in that checkpoint, {ours} in this net"


def _show(shapes: Shapes, name: str) -> str:
    return str(list(shapes[name])) if name in shapes else "absent"
