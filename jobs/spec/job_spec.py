"""The JobSpec and the request that it is made from. Knows no store and no tensor.

`JobSpecRequest` is the body of a request; `JobSpec` has every default filled in, and is what is
stored, shown and trained. `jobs/spec/reading.py` makes the one from the other.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from jobs.spec.about import Labels, Name, Notes, Priority
from jobs.spec.base import MAX_ROWS_PER_TICK, Positive, Seed, StoredSeed
from jobs.spec.class_weights import ClassWeights
from jobs.spec.conditions import MAX_CONDITION_CHARACTERS, MAX_CONDITIONS, check_condition
from jobs.spec.data import (
    FINITE_LOSS_REVISION,
    FIRST_REVISION,
    MEAN_LOSS_REVISION,
    METRICS_REVISION,
    REVISION,
    Data,
    DatasetData,
    InlineData,
    Profile,
)
from jobs.spec.dataset_binding import DatasetBinding
from jobs.spec.held_out import HeldOut, HeldOutTest, Validation, count_binary_share, count_share
from jobs.spec.init import Init, InitWeights
from jobs.spec.metrics import Mode, better_mode, list_metrics
from jobs.spec.notify import Notify
from jobs.spec.text import vocabulary_of
from jobs.spec.training import (
    AdamW,
    BestRule,
    Budget,
    CheckpointRules,
    Compute,
    OptimizerSpec,
    Schedule,
    Stop,
)
from models.families import ModelConfig
from models.strict_models import LimitErrors, StrictModel
from models.strict_numbers import FINITE, INTEGRAL

Objective = Literal["mse", "cross_entropy", "language_model"]
RecordedColumn = Literal["loss", "grad_norm"]
BatchSize = Annotated[int, Field(ge=1, le=MAX_ROWS_PER_TICK), INTEGRAL]
ConditionText = Annotated[
    str, Field(max_length=MAX_CONDITION_CHARACTERS), AfterValidator(check_condition)
]


#: shown with the schema
EXAMPLE_SPEC: JsonDict = {
    "name": "digits",
    "model": {"family": "mlp", "hidden": [64]},
    "data": {"source": "example", "name": "digits"},
    "budget": {"epochs": 20},
    "validation": {"fraction": 0.1},
}


class JobSpecRequest(StrictModel):
    """What to train, on what, for how long. Only model, data and budget are required."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SPEC]})

    name: Name | None = None
    labels: Labels = {}
    notes: Notes = ""
    model: ModelConfig
    data: Data
    objective: Objective | None = None
    """null: cross_entropy for class targets, mse for numbers, language_model for a text."""
    class_weights: ClassWeights | None = None
    """For cross_entropy: the weight of each class in the loss, by name (1 unless named); balanced:
    rows ÷ (classes × rows of the class). The mean of a tick, and of held-out rows, is by the sum of
    the rows' weights."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1), FINITE] = 0.0
    """For cross_entropy: the share of each target that is spread evenly over all classes."""
    # a factory, since client generators cannot read a union whose default is an object
    optimizer: Annotated[OptimizerSpec, Field(description="adamw, unless named")] = Field(
        default_factory=AdamW
    )
    schedule: Schedule = Schedule()
    budget: Budget
    stop: Stop = Stop()
    batch_size: BatchSize | None = None
    """Rows of one tick; null: 32, or all rows if there are fewer."""
    micro_batches: Annotated[int, Field(ge=1, le=1024), INTEGRAL] = 1
    clip_norm: Positive | None = None
    validation: Validation | None = None
    test: HeldOutTest | None = None
    init: Init | None = None
    """Another job's weights to begin with, with a fresh optimizer; null: the seed draws them."""
    checkpoint: CheckpointRules = CheckpointRules()
    seed: Seed = 0
    compute: Compute = Compute()
    priority: Priority = 0
    notify: Notify = []
    """Webhooks (wh_…), whatever their labels, and addresses to call for this job."""
    record: Annotated[list[RecordedColumn], LimitErrors()] = ["loss"]
    """Columns recorded at every tick; loss always is."""
    notify_when: Annotated[
        list[ConditionText], Field(max_length=MAX_CONDITIONS), LimitErrors(max_items=MAX_CONDITIONS)
    ] = []
    """Conditions such as loss<0.1, val_accuracy>0.9 or tick>=5000: an event `condition` tells the
    first tick that meets one, once."""


class JobSpec(JobSpecRequest):
    """A spec with all defaults filled in; it never changes."""

    model_config = ConfigDict(json_schema_extra={})  # the example is one of a request

    name: Name
    objective: Objective
    batch_size: BatchSize
    seed: StoredSeed = 0
    facts: SkipJsonSchema[DatasetBinding | None] = Field(None, exclude=True)
    """Its uploaded datasets; null without any. Stored (`to_stored`), but not shown to clients."""

    weights: SkipJsonSchema[InitWeights | None] = Field(None, exclude=True)
    """The job's copy of the weights of `init`; stored, but not shown."""

    revision: SkipJsonSchema[int] = Field(FIRST_REVISION, exclude=True)
    """Of the rules by which it is read; stored, but not shown. A record without it: the first."""

    device_reason: SkipJsonSchema[str | None] = Field(None, exclude=True)
    """Why its device was chosen, where a client left that open; stored, and shown in the Job."""

    def to_stored(self) -> dict[str, Any]:
        """Return the spec with its hidden fields as JSON, as it is stored and sent to a trainer."""
        hidden_fields: dict[str, Any] = {"revision": self.revision}
        if self.facts is not None:
            hidden_fields["facts"] = self.facts.model_dump(mode="json", exclude_defaults=True)
        if self.device_reason is not None:
            hidden_fields["device_reason"] = self.device_reason
        if self.weights is not None:
            hidden_fields["weights"] = self.weights.model_dump(mode="json")
        return {**self.model_dump(mode="json"), **hidden_fields}

    @cached_property
    def profile(self) -> Profile:
        """The sizes of its data."""
        return build_profile(self, self.objective, self.facts, self.revision)

    @property
    def datasets(self) -> dict[str, str]:
        """The uploaded datasets that it uses: id -> path of the file."""
        if not isinstance(self.data, DatasetData) or self.facts is None:
            return {}
        paths = {self.data.id: self.facts.data.path}
        others = ((self.validation, self.facts.validation), (self.test, self.facts.test))
        for part, file in others:
            if part is not None and part.id is not None and file is not None:
                paths[part.id] = file.path
        return paths

    @property
    def is_target_scaled(self) -> bool:
        """Whether targets are standardized, so that losses are not in their own units."""
        return bool(getattr(self.data, "standardize_target", False))

    @property
    def reads_mean_loss(self) -> bool:
        """Whether rules of `stop` read the mean of the losses since their last look, not one."""
        return self.revision >= MEAN_LOSS_REVISION

    @property
    def needs_finite_loss(self) -> bool:
        """Whether it fails where no loss was finite, however it ends."""
        return self.revision >= FINITE_LOSS_REVISION

    @property
    def held_out_rows(self) -> int:
        """Rows of the data to validate on, which are never trained on."""
        counted = None if self.facts is None else self.facts.held_out_rows
        return self.count_share(self.validation) if counted is None else counted

    @property
    def test_rows(self) -> int:
        """Rows of the data for the test at the end, which are never trained on either."""
        counted = None if self.facts is None else self.facts.test_rows
        return self.count_share(self.test) if counted is None else counted

    @property
    def training_rows(self) -> int:
        """Rows of one epoch."""
        return self.profile.rows - self.held_out_rows - self.test_rows

    def count_share(self, part: HeldOut | None) -> int:
        """Return the number of rows that a fraction stands for, whatever the split makes of it."""
        if part is None or part.fraction is None:
            return 0
        count = count_binary_share if self.revision == FIRST_REVISION else count_share
        return count(part.fraction, self.profile.rows)

    @cached_property
    def ticks_per_epoch(self) -> int:
        """Ticks of one pass over the training rows; the last batch may be short, or left out."""
        if self.data.drop_last:
            return self.training_rows // self.batch_size
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
        """Number of trainable parameters, exactly."""
        return self.model.num_parameters(self.profile.features, self.profile.outputs)

    @property
    def metric_names(self) -> list[str]:
        """The metrics that validation and test record."""
        validated = [] if self.validation is None else self.validation_metrics
        if self.validation is not None and self.validation.metrics is not None:
            named = {"val_loss", *self.validation.metrics}
            validated = [name for name in validated if name in named]
        tested = [] if self.test is None else self.held_out_metrics
        return [*validated, *(f"test_{name}" for name in tested)]

    @property
    def class_names(self) -> list[str]:
        """The names of the classes in the order of the net's outputs; none of another target."""
        if self.profile.kind != "class":
            return []
        if self.facts is not None and self.facts.target is not None:
            return self.facts.target.names
        if isinstance(self.data, InlineData):
            return [str(number) for number in self.data.class_numbers(self.revision) or []]
        return [str(number) for number in range(self.profile.outputs)]

    @property
    def validation_metrics(self) -> list[str]:
        """The metrics that a validation of its objective can record."""
        return [f"val_{name}" for name in self.held_out_metrics]

    @property
    def held_out_metrics(self) -> list[str]:
        """The metrics of rows that are held out, without the prefix of the rows."""
        return list_metrics(self.profile, is_first_list=self.revision < METRICS_REVISION)

    @property
    def best_metric(self) -> tuple[str, Mode]:
        """The metric that the best checkpoint goes by, and which way."""
        rule = self.checkpoint.best or BestRule()
        return rule.metric, rule.mode or better_mode(rule.metric)

    @property
    def queue(self) -> Literal["cpu", "cuda"]:
        """The queue whose workers may claim it."""
        return "cuda" if self.compute.device == "cuda" else "cpu"

    def rate(self, tick: int) -> float:
        """Return the learning rate of `tick` (from 1), in float64."""
        return self.schedule.rate(self.optimizer.lr, tick, self.ticks_total)


def build_profile(
    request: JobSpecRequest,
    objective: str | None,
    binding: DatasetBinding | None,
    revision: int = REVISION,
) -> Profile:
    """Build the profile of a request's data; `binding` is needed for uploaded datasets."""
    if isinstance(request.data, DatasetData):
        assert binding is not None, "bind_datasets has looked the dataset up"
        profile = binding.profile(request.data.window)
    else:
        profile = request.data.profile(objective, revision)
    return profile.with_vocabulary(vocabulary_of(request.model))
