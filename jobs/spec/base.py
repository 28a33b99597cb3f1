"""The base class of all parts of a spec, and common types of numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.strict_numbers import FINITE, INTEGRAL

MAX_TICKS = 1_000_000_000
MAX_ROWS_PER_TICK = 65_536
FLOAT32_MAX = 3.4028234663852886e38


class SpecModel(BaseModel):
    """A part of a spec: strict, frozen, no unknown field."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )


Ticks = Annotated[int, Field(ge=1, le=MAX_TICKS), INTEGRAL]
DatasetId = Annotated[str, Field(pattern=r"^ds_[a-z0-9]{26}$")]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1), INTEGRAL]
Share = Annotated[float, Field(ge=0, lt=1), FINITE]
Finite = Annotated[float, FINITE]
#: within the range of float32, which nets are trained in
Float32 = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX), FINITE]
NonNegative = Annotated[float, Field(ge=0), FINITE]
Positive = Annotated[float, Field(gt=0), FINITE]
