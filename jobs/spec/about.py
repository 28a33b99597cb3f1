"""What a spec says about its job: name, labels, notes, priority. A job of any kind has them."""

from typing import Annotated

from pydantic import Field, WithJsonSchema

from models.strict_models import LimitErrors
from models.strict_numbers import INTEGRAL

MAX_NAME_CHARACTERS = 200
Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
# no colon in a key: the filter `label=key:value` is split at the first one
LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^:]+$")]
MAX_LABELS = 32
LABELS_SCHEMA = {  # pydantic would write patternProperties, which allows all other names
    "type": "object",
    "maxProperties": MAX_LABELS,
    "propertyNames": {"minLength": 1, "maxLength": 63, "pattern": "^[^:]+$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}
Labels = Annotated[
    dict[LabelKey, Annotated[str, Field(max_length=255)]],
    LimitErrors(max_items=MAX_LABELS),
    WithJsonSchema(LABELS_SCHEMA),
]
Notes = Annotated[str, Field(max_length=10_000)]
Priority = Annotated[int, Field(ge=-100, le=100), INTEGRAL]
