"""The one table of model families: config, objectives, description. Knows no torch and no net."""

from dataclasses import dataclass

from models.mlp.config import MlpConfig


@dataclass(frozen=True)
class Family:
    """A kind of network that a spec may name."""

    name: str
    config: type[MlpConfig]
    objectives: tuple[str, ...]
    description: str


#: any family's config; a union, told apart by `family`, once there are two
ModelConfig = MlpConfig

FAMILIES: dict[str, Family] = {
    "mlp": Family(
        "mlp",
        MlpConfig,
        ("mse", "cross_entropy"),
        "Multi-layer perceptron: linear layers, each hidden one with a norm (LayerNorm unless "
        "another is named), an activation and dropout.",
    ),
}
