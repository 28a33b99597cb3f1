"""What an mlp is asked to be, and the arithmetic of its size. Knows no torch.

`num_parameters` equals the built net's count for every config, which the tests hold it to.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.strict_numbers import FINITE, INTEGRAL
from models.types import NORM_PARAMETERS, Activation, Norm

Width = Annotated[int, Field(ge=1, le=65_536), INTEGRAL]
#: numbers kept for a hidden unit of a row: linear, norm, activation, gradients, and what lies idle
#: between freed pieces; two more with dropout. Measured with it: up to 8, less in most runs
ACTIVATIONS_PER_UNIT, DROPOUT_EXTRA = 6, 2


class MlpConfig(BaseModel):
    """Hidden layers of the given widths, each: linear, norm, activation, dropout."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    family: Literal["mlp"]
    hidden: Annotated[list[Width], Field(min_length=1, max_length=64)] = [64, 64]
    norm: Norm = "layer"
    norm_position: Literal["pre"] = Field("pre", description="before the activation")
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1), FINITE] = 0.0

    @property
    def needs_batch_statistics(self) -> bool:
        """Whether training needs at least two rows in every part: BatchNorm's mean is over rows."""
        return "batch" in self.norm

    def num_parameters(self, inputs: int, outputs: int) -> int:
        """Count the learnable numbers of the net [rows, inputs] to [rows, outputs]."""
        layers = [inputs, *self.hidden, outputs]
        linear = sum((fan_in + 1) * width for fan_in, width in pairwise(layers))
        return linear + NORM_PARAMETERS[self.norm] * sum(self.hidden)

    def activation_count(self, inputs: int, outputs: int) -> int:
        """Estimate the numbers kept for one row between forward and backward pass."""
        per_unit = ACTIVATIONS_PER_UNIT + (DROPOUT_EXTRA if self.dropout > 0 else 0)
        return per_unit * (sum(self.hidden) + inputs + outputs)
