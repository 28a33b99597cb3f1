"""The JobSpec: what a client asks for, checked once at the door, with every default filled in.

`JobSpecRequest` is the request's body; `JobSpec` is the same with no gap left, and is what is stored,
shown and trained. Knows no store and no tensor.
"""

import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from jobs.spec.base import MAX_ROWS_PER_TICK, Positive, Seed, SpecModel
from jobs.spec.data import Data, DatasetData, Profile
from jobs.spec.dataset_binding import DatasetBinding
from jobs.spec.text import vocabulary_of
from jobs.spec.training import (
    AdamW,
    Budget,
    CheckpointRules,
    Compute,
    OptimizerSpec,
    Schedule,
    Stop,
    Validation,
)
from models.families import ModelConfig
from models.strict_numbers import INTEGRAL

Objective = Literal["mse", "cross_entropy", "language_model"]
RecordedColumn = Literal["loss", "grad_norm"]
MAX_NAME_CHARACTERS = 200  # characters
Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
# no colon in a key: the filter `label=key:value` is split at the first one
LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^:]+$")]
LABELS_SCHEMA = {  # pydantic would spell the pattern as patternProperties, which admits all others
    "type": "object",
    "maxProperties": 32,
    "propertyNames": {"minLength": 1, "maxLength": 63, "pattern": "^[^:]+$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}
Labels = Annotated[
    dict[LabelKey, Annotated[str, Field(max_length=255)]],
    Field(max_length=32),
    WithJsonSchema(LABELS_SCHEMA),
]
Notes = Annotated[str, Field(max_length=10_000)]
Priority = Annotated[int, Field(ge=-100, le=100), INTEGRAL]


#: shown with the schema
EXAMPLE_SPEC: JsonDict = {
    "name": "digits",
    "model": {"family": "mlp", "hidden": [64]},
    "data": {"source": "example", "name": "digits"},
    "budget": {"epochs": 20},
    "validation": {"fraction": 0.1},
}


class JobSpecRequest(SpecModel):
    """What to train, on what, for how long. Only model, data and budget are required."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SPEC]})

    name: Name | None = None
    labels: Labels = {}
    notes: Notes = ""
    model: ModelConfig
    data: Data
    objective: Objective | None = None
    """null: cross_entropy for class targets, mse for numbers, language_model for a text."""
    # by a factory: a union whose default is an object is more than generators of clients can read
    optimizer: Annotated[OptimizerSpec, Field(description="adamw, unless named")] = Field(
        default_factory=AdamW
    )
    schedule: Schedule = Schedule()
    budget: Budget
    stop: Stop = Stop()
    batch_size: Annotated[int, Field(ge=1, le=MAX_ROWS_PER_TICK), INTEGRAL] | None = None
    """Rows of one tick; null: 32, or all rows if there are fewer."""
    micro_batches: Annotated[int, Field(ge=1, le=1024), INTEGRAL] = 1
    clip_norm: Positive | None = None
    validation: Validation | None = None
    checkpoint: CheckpointRules = CheckpointRules()
    seed: Seed = 0
    compute: Compute = Compute()
    priority: Priority = 0
    record: list[RecordedColumn] = ["loss"]
    """Columns kept for every tick; loss always is."""


class JobSpec(JobSpecRequest):
    """A spec with all defaults filled in; never changes."""

    name: Name
    objective: Objective
    batch_size: Annotated[int, Field(ge=1, le=MAX_ROWS_PER_TICK), INTEGRAL]
    facts: SkipJsonSchema[DatasetBinding | None] = Field(None, exclude=True)
    """Of its datasets, which the spec only names; null without any. Not shown, see `whole`."""

    def to_stored(self) -> dict[str, Any]:
        """All of it as JSON has it, as it is stored and sent to a trainer."""
        hidden_fields = {} if self.facts is None else {"facts": self.facts.model_dump(mode="json")}
        return {**self.model_dump(mode="json"), **hidden_fields}

    @cached_property
    def profile(self) -> Profile:
        """What is known of the data."""
        return build_profile(self, self.objective, self.facts)

    @property
    def datasets(self) -> dict[str, str]:
        """The uploaded datasets that it uses: where each one's file lies, by id."""
        if not isinstance(self.data, DatasetData) or self.facts is None:
            return {}
        paths = {self.data.id: self.facts.data.path}
        if self.validation is not None and self.validation.id and self.facts.validation is not None:
            paths[self.validation.id] = self.facts.validation.path
        return paths

    @property
    def held_out_rows(self) -> int:
        """Rows of the data that are never trained on."""
        return count_held_out_rows(self.validation, self.profile.rows)

    @property
    def training_rows(self) -> int:
        """Rows that an epoch trains on."""
        return self.profile.rows - self.held_out_rows

    @cached_property
    def ticks_per_epoch(self) -> int:
        """Ticks of one pass over the training rows; the last batch may be short."""
        return -(-self.training_rows // self.batch_size)

    @cached_property
    def ticks_total(self) -> int | None:
        """The ticks after which the budget is used up; None where only time ends it."""
        epochs = self.budget.epochs
        by_epochs = None if epochs is None else epochs * self.ticks_per_epoch
        totals = [ticks for ticks in (self.budget.ticks, by_epochs) if ticks is not None]
        return min(totals, default=None)

    @cached_property
    def parameters(self) -> int:
        """Trainable numbers of the model, exactly."""
        return self.model.num_parameters(self.profile.features, self.profile.outputs)

    @property
    def queue(self) -> Literal["cpu", "cuda"]:
        """Which workers may take it."""
        return "cuda" if self.compute.device == "cuda" else "cpu"

    def rate(self, tick: int) -> float:
        """Learning rate used in `tick` (from 1), in float64."""
        return self.schedule.rate(self.optimizer.lr, tick, self.ticks_total)


def build_profile(
    request: JobSpecRequest, objective: str | None, binding: DatasetBinding | None
) -> Profile:
    if isinstance(request.data, DatasetData):
        assert binding is not None, "read_spec has looked the dataset up"
        profile = binding.profile(request.data.window)
    else:
        profile = request.data.profile(objective)
    return profile.with_vocabulary(vocabulary_of(request.model))


def count_held_out_rows(validation: Validation | None, rows: int) -> int:
    fraction = None if validation is None else validation.fraction
    return 0 if fraction is None else math.floor(fraction * rows)
