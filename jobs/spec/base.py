"""The base class of all parts of a spec, common types of numbers, and errors by field."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from models.strict_models import MAX_ERRORS, StrictModel
from models.strict_numbers import FINITE, INTEGRAL

MAX_TICKS = 1_000_000_000
MAX_ROWS_PER_TICK = 65_536
MAX_SHOWN_ERRORS = 10  # in an exception's message
FLOAT32_MAX = 3.4028234663852886e38


class SpecModel(BaseModel):
    """What our own code adds to a spec, or makes of a dataset: as strict as the parts of a body."""

    model_config = StrictModel.model_config


class FieldError(NamedTuple):
    """One error of a request body: JSON pointer, broken rule, value."""

    pointer: str
    detail: str
    value: Any


def pointer_step(name: object) -> str:
    """Return a name, or a place in a list, as one step of a JSON pointer (RFC 6901)."""
    return str(name).replace("~", "~0").replace("/", "~1")


class InvalidFields(Exception):
    """Fields of a body break its schema or a rule.

    `errors` lists the first MAX_ERRORS that were found, `left_out` counts the others.
    """

    def __init__(self, errors: Sequence[FieldError], left_out: int = 0) -> None:
        self.errors = list(errors[:MAX_ERRORS])
        self.left_out = left_out + len(errors) - len(self.errors)
        shown = [f"{error.pointer}: {error.detail}" for error in self.errors[:MAX_SHOWN_ERRORS]]
        super().__init__("; ".join(shown))


class InvalidSpec(InvalidFields):
    """A spec breaks the schema or a rule between fields."""


Ticks = Annotated[int, Field(ge=1, le=MAX_TICKS), INTEGRAL]
DatasetId = Annotated[str, Field(pattern=r"^ds_[a-z0-9]{26}$")]
#: torch's CPU generator reads 32 bits: beyond them, different seeds would draw the same numbers
MAX_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), INTEGRAL]
#: as records of earlier builds may have it
StoredSeed = Annotated[int, Field(ge=0, le=2**63 - 1), INTEGRAL]
Share = Annotated[float, Field(ge=0, lt=1), FINITE]
Finite = Annotated[float, FINITE]
#: within the range of float32, which nets are trained in
Float32 = Annotated[float, Field(ge=-FLOAT32_MAX, le=FLOAT32_MAX), FINITE]
NonNegative = Annotated[float, Field(ge=0), FINITE]
Positive = Annotated[float, Field(gt=0), FINITE]
