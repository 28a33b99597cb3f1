"""Validate JSON numbers strictly: true and "8" are not numbers, and 8.0 is an integer.

JSON Schema's `integer` admits 8.0; strict pydantic does not. In Annotated, limits must stand
*before* the validator, or they are missing from the published schema. Knows no field and no model.
"""

from typing import Any

from pydantic import BeforeValidator, Field


def _to_integer(value: Any) -> Any:
    """Turn 8.0 into 8; leave everything else for the strict check to judge."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


#: use as Annotated[int, Field(ge=1), INTEGRAL]
INTEGRAL = BeforeValidator(_to_integer)
#: a finite number; use as Annotated[float, Field(gt=0), FINITE] (integers are numbers too)
FINITE = Field(allow_inf_nan=False)
