"""The table of model families: config, objectives, description. Knows no torch and no net."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from models.mlp.config import MlpConfig
from models.transformer_lm.config import TransformerLmConfig


@dataclass(frozen=True)
class Family:
    """A kind of network that a spec may name; `reads` is the kind of data it is trained on."""

    name: str
    config: type[MlpConfig] | type[TransformerLmConfig]
    reads: str  # "a table" or "a text"
    objectives: tuple[str, ...]
    description: str


FAMILIES: dict[str, Family] = {
    "mlp": Family(
        "mlp",
        MlpConfig,
        "a table",
        ("mse", "cross_entropy"),
        "Multi-layer perceptron: linear layers, each hidden one with a norm (LayerNorm unless "
        "another is named), an activation and dropout.",
    ),
    "transformer_lm": Family(
        "transformer_lm",
        TransformerLmConfig,
        "a text",
        ("language_model",),
        "GPT-style language model: token and learned position embeddings, layers of causal "
        "self-attention and feed-forward nets, with LayerNorm before or after each.",
    ),
}


def _family(value: Any) -> Any:
    return value.get("family") if isinstance(value, dict) else getattr(value, "family", None)


#: any family's config, discriminated by its field `family`
ModelConfig = Annotated[
    Annotated[MlpConfig, Tag("mlp")] | Annotated[TransformerLmConfig, Tag("transformer_lm")],
    Discriminator(
        _family,
        custom_error_type="unknown_family",
        custom_error_message="an object whose family is one of " + ", ".join(FAMILIES),
    ),
]
