"""The JobSpec: what a client asks for, checked once at the door, with every default filled in.

`AskedSpec` is the request's body; `JobSpec` is the same with no gap left, and is what is stored,
shown and trained. Knows no store and no tensor.
"""

import math
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from jobs.spec.base import MOST_ROWS, MOST_TICKS, Part, Positive, Seed
from jobs.spec.data import Data, DatasetData, Kind, Profile
from jobs.spec.datasets import LookUp, Unfit, facts_of, nobody
from jobs.spec.facts import Facts
from jobs.spec.faults import InvalidSpec, faults_of
from jobs.spec.rules import Fault, faults
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
from models.numbers import INTEGRAL

Objective = Literal["mse", "cross_entropy", "language_model"]
Column = Literal["loss", "grad_norm"]
DEFAULT_BATCH = 32
#: kind of target -> what is trained unless the spec says otherwise
FITTING: dict[Kind, Objective] = {
    "class": "cross_entropy",
    "number": "mse",
    "token": "language_model",
}
DATA: TypeAdapter[Any] = TypeAdapter(Data)


LONGEST_NAME = 200  # characters
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
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
EXAMPLE: JsonDict = {
    "name": "digits",
    "model": {"family": "mlp", "hidden": [64]},
    "data": {"source": "example", "name": "digits"},
    "budget": {"epochs": 20},
    "validation": {"fraction": 0.1},
}


class AskedSpec(Part):
    """What to train, on what, for how long. Only model, data and budget are required."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

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
    facts: SkipJsonSchema[Facts | None] = Field(None, exclude=True)
    """Of its datasets, which the spec only names; null without any. Not shown, see `whole`."""

    def whole(self) -> dict[str, Any]:
        """All of it as JSON has it, as it is stored and sent to a trainer."""
        facts = {} if self.facts is None else {"facts": self.facts.model_dump(mode="json")}
        return {**self.model_dump(mode="json"), **facts}

    @cached_property
    def profile(self) -> Profile:
        """What is known of the data."""
        return _profile(self, self.objective, self.facts)

    @property
    def datasets(self) -> dict[str, str]:
        """The uploaded datasets that it uses: where each one's file lies, by id."""
        if not isinstance(self.data, DatasetData) or self.facts is None:
            return {}
        found = {self.data.id: self.facts.data.path}
        if self.validation is not None and self.validation.id and self.facts.validation is not None:
            found[self.validation.id] = self.facts.validation.path
        return found

    @property
    def held_out_rows(self) -> int:
        """Rows of the data that are never trained on."""
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


def read_spec(body: object, *, max_parameters: int, datasets: LookUp = nobody) -> JobSpec:
    """Check a parsed JSON body and fill in its gaps; raises InvalidSpec with all faults.

    `datasets` finds an uploaded one by its id.
    """
    try:
        asked = AskedSpec.model_validate(body)
    except ValidationError as error:
        found = [*faults_of(error, body), *_data_faults(body)]
        sound = _sound_part(body, found, max_parameters, datasets)
        raise InvalidSpec([*found, *sound]) from None
    if wrong := _data_faults(body):
        raise InvalidSpec(wrong)
    try:
        facts = facts_of(asked.data, asked.validation, asked.objective, datasets)
    except Unfit as error:
        raise InvalidSpec(error.faults) from None
    spec = _complete(asked, facts)
    if found := faults(spec, max_parameters):
        raise InvalidSpec(found)
    return spec


def _sound_part(
    body: object, found: list[Fault], max_parameters: int, datasets: LookUp
) -> list[Fault]:
    """Faults between those fields of a faulty body that are sound themselves."""
    wrong = {fault.pointer.split("/")[1] for fault in found if fault.pointer}
    if not isinstance(body, dict):
        return []
    try:
        sound = {name: body[name] for name in body if name not in wrong}
        if "budget" in wrong:
            sound["budget"] = {"ticks": MOST_TICKS}  # any: rules that read it are not asked
        rest = AskedSpec.model_validate(sound)
        facts = facts_of(rest.data, rest.validation, rest.objective, datasets)
    except ValidationError:
        return []  # without its model, data or budget nothing can be said
    except Unfit as error:
        return [] if "objective" in wrong else error.faults
    return faults(_complete(rest, facts), max_parameters, wrong)


def _data_faults(body: object) -> list[Fault]:
    """What is wrong inside the data alone; nothing where its form is wrong already."""
    try:
        data = DATA.validate_python(body["data"])  # type: ignore[index]
    except (ValidationError, TypeError, LookupError):
        return []
    return [Fault("/data" + where, rule, value) for where, rule, value in data.faults()]


def _complete(asked: AskedSpec, facts: Facts | None) -> JobSpec:
    """Fill in every default that depends on other fields."""
    objective = asked.objective or _fitting(_profile(asked, None, facts))
    rows = _profile(asked, objective, facts).rows
    batch_size = asked.batch_size or max(
        1, min(DEFAULT_BATCH, rows - _held_out(asked.validation, rows))
    )
    told = {name: getattr(asked, name) for name in AskedSpec.model_fields}
    spec = JobSpec(
        **{
            **told,
            "facts": facts,
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


def _profile(asked: AskedSpec, objective: str | None, facts: Facts | None) -> Profile:
    if isinstance(asked.data, DatasetData):
        assert facts is not None, "read_spec has looked the dataset up"
        profile = facts.profile(asked.data.window)
    else:
        profile = asked.data.profile(objective)
    return profile.read_as(vocabulary_of(asked.model))


def _fitting(profile: Profile) -> Objective:
    return FITTING[profile.kind]


def _held_out(validation: Validation | None, rows: int) -> int:
    fraction = None if validation is None else validation.fraction
    return 0 if fraction is None else math.floor(fraction * rows)
