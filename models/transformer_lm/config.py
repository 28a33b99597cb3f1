"""The config of a transformer_lm, and the arithmetic of its size. Knows no torch.

Tests compare `num_parameters` with the count of the built net.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from models.strict_models import StrictModel
from models.strict_numbers import FINITE, INTEGRAL
from models.types import NORM_PARAMETERS, Activation
from models.weight_shapes import Shapes, linear_shapes, norm_shapes

#: numbers a layer stores for the backward pass per feature of a token: normed inputs, query, key,
#: value, attention's output, two sums and their norms
ACTIVATIONS_PER_FEATURE = 12
DROPOUT_EXTRA = 3  # added with dropout: masks and masked values


def _refuse_coupling_norm(norm: Any) -> Any:
    """Raise ValueError, with the reason, for norms that would let a token see later ones."""
    if norm in ("batch", "layer+batch", "group"):
        raise ValueError(
            "one of layer, rms, none: a transformer_lm normalizes each token by itself"
            + ("" if norm == "group" else ", BatchNorm would mix in later tokens and other rows")
        )
    return norm


class TransformerLmConfig(StrictModel):
    """A GPT-style decoder: token and learned position embeddings, layers of causal self-attention
    and a feed-forward net, logits for the next token at every position.

    The length of its context is the data's `window`.
    """

    family: Literal["transformer_lm"]
    layers: Annotated[int, Field(ge=1, le=96), INTEGRAL] = 4
    heads: Annotated[int, Field(ge=1, le=256), INTEGRAL] = 4
    """Of the attention in a layer; a divisor of `width`."""
    width: Annotated[int, Field(ge=1, le=65_536), INTEGRAL] = 128
    """Features of a token (d_model)."""
    feed_forward: Annotated[int, Field(ge=1, le=16), INTEGRAL] = 4
    """Units of the feed-forward net, in widths."""
    norm: Annotated[Literal["layer", "rms", "none"], BeforeValidator(_refuse_coupling_norm)] = (
        "layer"
    )
    norm_position: Literal["pre", "post"] = "pre"
    """`pre`: x + f(norm(x)), and a norm before the logits (GPT-2); `post`: norm(x + f(x))."""
    activation: Activation = "gelu"
    dropout: Annotated[float, Field(ge=0, lt=1), FINITE] = 0.0
    """Of the embeddings and of what every attention and feed-forward net adds."""
    vocabulary: Literal["bytes", "characters"] = "bytes"
    """Tokens are bytes of UTF-8 (256), or the characters that the text has."""
    tied_embeddings: bool = True
    """The logits' matrix is that of the token embeddings."""

    @property
    def needs_batch_statistics(self) -> bool:
        """Whether every part of a batch needs two rows or more: never."""
        return False

    def num_parameters(self, inputs: int, outputs: int) -> int:
        """Return the number of learnable parameters for windows of `inputs` tokens.

        `outputs` is the size of the vocabulary.
        """
        width, inner_width = self.width, self.feed_forward * self.width
        norm = NORM_PARAMETERS[self.norm] * width
        attention = 4 * (width + 1) * width
        layer = attention + (width + 1) * inner_width + (inner_width + 1) * width + 2 * norm
        last = norm if self.norm_position == "pre" else 0
        embeddings = (inputs + outputs * (1 if self.tied_embeddings else 2)) * width
        return embeddings + self.layers * layer + last

    def weight_shapes(self, inputs: int, outputs: int) -> Shapes:
        """Return name and shape of each of the net's weights and buffers."""
        width, inner_width = self.width, self.feed_forward * self.width
        shapes: Shapes = {"tokens.weight": (outputs, width), "positions.weight": (inputs, width)}
        for layer in range(self.layers):
            attention, feed_forward = f"layers.{layer}.0", f"layers.{layer}.1"
            for sublayer in (attention, feed_forward):
                shapes |= norm_shapes(self.norm, f"{sublayer}.norm.0", width)
            name = f"{attention}.sublayer"
            shapes |= linear_shapes(f"{name}.queries_keys_values", width, 3 * width)
            shapes |= linear_shapes(f"{name}.output", width, width)
            name = f"{feed_forward}.sublayer"
            shapes |= linear_shapes(f"{name}.hidden", width, inner_width)
            shapes |= linear_shapes(f"{name}.output", inner_width, width)
        if self.norm_position == "pre":
            shapes |= norm_shapes(self.norm, "norm.0", width)
        return shapes if self.tied_embeddings else {**shapes, "logits.weight": (outputs, width)}

    def activation_count(self, inputs: int, outputs: int) -> int:
        """Estimate the numbers in memory for one row between forward and backward pass."""
        per_feature = ACTIVATIONS_PER_FEATURE + (DROPOUT_EXTRA if self.dropout > 0 else 0)
        layer = (per_feature + 2 * self.feed_forward) * self.width
        return inputs * (self.layers * layer + 3 * outputs)
