"""What every part of a spec has in common: strict, frozen, no unknown field."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.strict_numbers import FINITE, INTEGRAL

MAX_TICKS = 1_000_000_000
MAX_ROWS_PER_TICK = 65_536  # of one tick
FLOAT32_MAX = 3.4028234663852886e38


class SpecModel(BaseModel):
    """A part of a spec. Validated once at the door, never changed afterwards."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )


Ticks = Annotated[int, Field(ge=1, le=MAX_TICKS), INTEGRAL]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1), INTEGRAL]
Share = Annotated[float, Field(ge=0, lt=1), FINITE]
Finite = Annotated[float, FINITE]
#: fits float32, which nets are trained in
Float32 = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX), FINITE]
NonNegative = Annotated[float, Field(ge=0), FINITE]
Positive = Annotated[float, Field(gt=0), FINITE]
