"""Names of norms and activations, which the configs of all families share. Knows no torch."""

from typing import Literal

Norm = Literal["layer", "rms", "batch", "group", "layer+batch", "none"]
Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid"]

#: learnable numbers of a norm per feature: gamma, and beta unless it has none
NORM_PARAMETERS: dict[Norm, int] = {
    "layer": 2,
    "rms": 1,
    "batch": 2,
    "group": 2,
    "layer+batch": 4,
    "none": 0,
}
