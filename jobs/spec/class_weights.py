"""The weights of classes in the loss, as a spec names them."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from jobs.spec.profiles import MAX_CLASSES
from models.strict_models import LimitErrors
from models.strict_numbers import FINITE

#: float32 holds their products with a loss; a class of weight 0 could leave a batch without any
MIN_CLASS_WEIGHT, MAX_CLASS_WEIGHT = 1e-6, 1e6

ClassWeight = Annotated[float, Field(ge=MIN_CLASS_WEIGHT, le=MAX_CLASS_WEIGHT), FINITE]
NamedWeights = Annotated[dict[str, ClassWeight], LimitErrors(max_items=MAX_CLASSES)]


def _form_of(value: Any) -> str | None:
    if isinstance(value, dict):
        return "named"
    return "balanced" if value == "balanced" else None


ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("balanced")] | Annotated[NamedWeights, Tag("named")],
    Discriminator(
        _form_of,
        custom_error_type="unknown_class_weights",
        custom_error_message="null, balanced, or an object of weights by class",
    ),
]
