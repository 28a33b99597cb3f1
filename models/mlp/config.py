"""The config of an mlp, and the arithmetic of its size. Knows no torch.

Tests compare `num_parameters` with the count of the built net.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from models.strict_models import StrictModel
from models.strict_numbers import FINITE, INTEGRAL
from models.types import NORM_PARAMETERS, Activation, Norm
from models.weight_shapes import Shapes, linear_shapes, norm_shapes

Width = Annotated[int, Field(ge=1, le=65_536), INTEGRAL]
#: numbers in memory per hidden unit of a row: linear, norm, activation, gradients, and what the
#: allocator leaves unused; two more with dropout. Measured with dropout: up to 8, mostly fewer
ACTIVATIONS_PER_UNIT, DROPOUT_EXTRA = 6, 2


class MlpConfig(StrictModel):
    """Hidden layers of the given widths, each: linear, norm, activation, dropout."""

    family: Literal["mlp"]
    hidden: Annotated[list[Width], Field(min_length=1, max_length=64)] = [64, 64]
    norm: Norm = "layer"
    norm_position: Literal["pre"] = Field("pre", description="before the activation")
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1), FINITE] = 0.0

    @property
    def needs_batch_statistics(self) -> bool:
        """Whether every part of a batch needs two rows or more (BatchNorm's mean is over rows)."""
        return "batch" in self.norm

    def num_parameters(self, inputs: int, outputs: int) -> int:
        """Return the number of learnable parameters of the net of `inputs` and `outputs`."""
        layers = [inputs, *self.hidden, outputs]
        linear = sum((fan_in + 1) * width for fan_in, width in pairwise(layers))
        return linear + NORM_PARAMETERS[self.norm] * sum(self.hidden)

    def weight_shapes(self, inputs: int, outputs: int) -> Shapes:
        """Return name and shape of each of the net's weights and buffers."""
        shapes, index = Shapes(), 0
        for width in self.hidden:
            shapes |= linear_shapes(str(index), inputs, width)
            shapes |= norm_shapes(self.norm, str(index + 1), width)
            # a layer's modules: linear, norm, activation, dropout
            index += 2 + (self.norm != "none") + (self.dropout > 0)
            inputs = width
        return shapes | linear_shapes(str(index), inputs, outputs)

    def activation_count(self, inputs: int, outputs: int) -> int:
        """Estimate the numbers in memory for one row between forward and backward pass."""
        per_unit = ACTIVATIONS_PER_UNIT + (DROPOUT_EXTRA if self.dropout > 0 else 0)
        return per_unit * (sum(self.hidden) + inputs + outputs)
