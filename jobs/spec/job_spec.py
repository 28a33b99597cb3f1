"""The JobSpec: what a client asks for, checked once at the door, with every default filled in.

`AskedSpec` is the request's body; `JobSpec` is the same with no gap left, and is what is stored,
shown and trained. Knows no store and no tensor.
"""

import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema

from jobs.spec.base import MOST_ROWS, Part, Positive, Seed
from jobs.spec.data import Data, Profile
from jobs.spec.faults import InvalidSpec, faults_of
from jobs.spec.rules import Fault, faults
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
from models.numbers import INTEGRAL

Objective = Literal["mse", "cross_entropy"]
Column = Literal["loss", "grad_norm"]
DEFAULT_BATCH = 32
DATA: TypeAdapter[Any] = TypeAdapter(Data)


Name = Annotated[str, Field(max_length=200)]
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


class AskedSpec(Part):
    """What to train, on what, for how long. Only model, data and budget are required."""

    name: Name | None = None
    labels: Labels = {}
    notes: Notes = ""
    model: ModelConfig
    data: Data
    objective: Objective | None = None
    """null: cross_entropy for class targets, mse for numbers."""
    optimizer: OptimizerSpec = AdamW()
    schedule: Schedule = Schedule()
    budget: Budget
    stop: Stop = Stop()
    batch_size: Annotated[int, Field(ge=1, le=MOST_ROWS), INTEGRAL] | None = None
    """Rows of one tick; null: 32, or all rows if there are fewer."""
    micro_batches: Annotated[int, Field(ge=1, le=1024), INTEGRAL] = 1
    clip_norm: Positive | None = None
    validation: Validation | None = None
    checkpoint: CheckpointRules = CheckpointRules()
    seed: Seed = 0
    compute: Compute = Compute()
    priority: Priority = 0
    record: list[Column] = ["loss"]
    """Columns kept for every tick; loss always is."""


class JobSpec(AskedSpec):
    """A spec with all defaults filled in; never changes."""

    name: Name
    objective: Objective
    batch_size: Annotated[int, Field(ge=1, le=MOST_ROWS), INTEGRAL]

    @cached_property
    def profile(self) -> Profile:
        """What is known of the data."""
        return self.data.profile(self.objective)

    @property
    def held_out_rows(self) -> int:
        """Rows that are never trained on."""
        return _held_out(self.validation, self.profile.rows)

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
        known = [ticks for ticks in (self.budget.ticks, by_epochs) if ticks is not None]
        return min(known, default=None)

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


def read_spec(body: object, *, max_parameters: int) -> JobSpec:
    """Check a parsed JSON body and fill in its gaps; raises InvalidSpec with all faults."""
    try:
        asked = AskedSpec.model_validate(body)
    except ValidationError as error:
        found = [*faults_of(error, body), *_data_faults(body)]
        raise InvalidSpec([*found, *_sound_part(body, found, max_parameters)]) from None
    if wrong := _data_faults(body):
        raise InvalidSpec(wrong)
    spec = _complete(asked)
    if found := faults(spec, max_parameters):
        raise InvalidSpec(found)
    return spec


def _sound_part(body: object, found: list[Fault], max_parameters: int) -> list[Fault]:
    """Faults between those fields of a faulty body that are sound themselves."""
    wrong = {fault.pointer.split("/")[1] for fault in found if fault.pointer}
    if not isinstance(body, dict):
        return []
    try:
        rest = AskedSpec.model_validate({name: body[name] for name in body if name not in wrong})
    except ValidationError:
        return []  # without its model, data or budget nothing can be said
    return faults(_complete(rest), max_parameters, wrong)


def _data_faults(body: object) -> list[Fault]:
    """What is wrong inside the data alone; nothing where its form is wrong already."""
    try:
        data = DATA.validate_python(body["data"])  # type: ignore[index]
    except (ValidationError, TypeError, LookupError):
        return []
    return [Fault("/data" + where, rule, value) for where, rule, value in data.faults()]


def _complete(asked: AskedSpec) -> JobSpec:
    """Fill in every default that depends on other fields."""
    objective = asked.objective or _fitting(asked.data.profile(None))
    rows = asked.data.profile(objective).rows
    batch_size = asked.batch_size or max(
        1, min(DEFAULT_BATCH, rows - _held_out(asked.validation, rows))
    )
    told = {name: getattr(asked, name) for name in AskedSpec.model_fields}
    spec = JobSpec(
        **{
            **told,
            "name": asked.name or asked.model.family,
            "objective": objective,
            "batch_size": batch_size,
            "record": asked.record if "loss" in asked.record else ["loss", *asked.record],
        }
    )
    if spec.validation is None or spec.validation.every_ticks is not None:
        return spec
    total = spec.ticks_total
    every = 100 if total is None else max(100, -(-total // 100))
    return spec.model_copy(
        update={"validation": spec.validation.model_copy(update={"every_ticks": every})}
    )


def _fitting(profile: Profile) -> Objective:
    return "cross_entropy" if profile.kind == "class" else "mse"


def _held_out(validation: Validation | None, rows: int) -> int:
    return 0 if validation is None else math.floor(validation.fraction * rows)
