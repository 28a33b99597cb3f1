"""The rules between the parts of a spec. Reads the profile, never the data.

Each rule yields its errors; all rules are checked, so that a client gets all errors together.
"""

from collections.abc import Callable, Iterator, Set

from jobs.spec.base import FieldError
from jobs.spec.condition_checks import describe_missing_column
from jobs.spec.conditions import parse_condition
from jobs.spec.engines import unsupported_reason
from jobs.spec.job_spec import JobSpec
from jobs.spec.metric_rules import (
    check_best_metric,
    check_loss_options,
    check_stop_metrics,
    check_validation_metrics,
)
from jobs.spec.split_checks import check_splits
from jobs.spec.text import TextFacts, vocabulary_of
from models.families import FAMILIES
from models.transformer_lm.config import TransformerLmConfig


def check_rules(
    spec: JobSpec, max_parameters: int, invalid_fields: Set[str] = frozenset()
) -> list[FieldError]:
    """List the errors between the parts of a complete spec.

    Rules that read one of `invalid_fields` are skipped: those fields are wrong by themselves.
    """
    if data_errors := [*_check_family(spec), *_check_window(spec)]:
        return data_errors  # the other rules need a valid count of rows
    rules = [rule for rule, fields in RULES.items() if not invalid_fields & fields]
    errors = [error for rule in rules for error in rule(spec)]
    return errors if invalid_fields & SIZE_FIELDS else [*errors, *_check_size(spec, max_parameters)]


def _check_family(spec: JobSpec) -> Iterator[FieldError]:
    data_kind = "a text" if spec.profile.kind == "token" else "a table"
    names = [family.name for family in FAMILIES.values() if family.reads == data_kind]
    if spec.model.family not in names:
        rule = f"a family that can train on these data, {data_kind}: {', '.join(names)}"
        yield FieldError("/model/family", rule, spec.model.family)


def _check_window(spec: JobSpec) -> Iterator[FieldError]:
    profile, model = spec.profile, spec.model
    if profile.text and isinstance(model, TransformerLmConfig) and profile.rows < 1:
        tokens = profile.text.count_tokens(model.vocabulary)
        rule = f"below the {tokens} {model.vocabulary} of the text"
        yield FieldError("/data/window", rule, profile.features)


def _check_other_texts(spec: JobSpec) -> Iterator[FieldError]:
    """Check that other texts are longer than a window and have no new characters."""
    if spec.facts is None or spec.profile.text is None:
        return
    parts = (("validation", spec.validation, spec.facts.validation),
             ("test", spec.test, spec.facts.test))  # fmt: skip
    for name, part, file in parts:
        if part is not None and file is not None and file.text is not None:
            for rule in _other_text_errors(spec, spec.profile.text, file.text):
                yield FieldError(f"/{name}/id", rule, part.id)


def _other_text_errors(spec: JobSpec, first: TextFacts, other: TextFacts) -> Iterator[str]:
    window, vocabulary = spec.profile.features, vocabulary_of(spec.model)
    if other.count_rows(window, vocabulary) < 1:
        yield f"a text longer than a window ({window})"
    new = sorted(set(other.vocabulary) - set(first.vocabulary))
    if vocabulary == "characters" and new:
        listed = ", ".join(map(repr, new[:5])) + (", …" if len(new) > 5 else "")
        yield f"a text of no other characters than the one to train on has; it has {listed}"


def _check_heads(spec: JobSpec) -> Iterator[FieldError]:
    model = spec.model
    if isinstance(model, TransformerLmConfig) and model.width % model.heads:
        yield FieldError("/model/heads", f"a divisor of width ({model.width})", model.heads)


def _check_objective(spec: JobSpec) -> Iterator[FieldError]:
    objectives = FAMILIES[spec.model.family].objectives
    if spec.objective not in objectives:
        rule = f"an objective that the family {spec.model.family} serves: {', '.join(objectives)}"
        yield FieldError("/objective", rule, spec.objective)
        return
    if spec.objective == "cross_entropy" and spec.profile.kind != "class":
        rule = "cross_entropy needs classes as targets (2 to 1,000 different whole numbers)"
        yield FieldError("/objective", rule, spec.objective)
    if spec.objective == "mse" and spec.profile.kind == "class":
        rule = "mse needs numbers as targets, not classes"
        yield FieldError("/objective", rule, spec.objective)


def _check_target_scaling(spec: JobSpec) -> Iterator[FieldError]:
    if spec.is_target_scaled and spec.profile.kind != "number":
        rule = "false or null: only targets that are numbers can be scaled"
        yield FieldError("/data/standardize_target", rule, True)


def _check_batch(spec: JobSpec) -> Iterator[FieldError]:
    if spec.batch_size > spec.training_rows > 0:  # no rows at all: see check_splits
        rule = f"at most the {spec.training_rows} training rows"
        yield FieldError("/batch_size", rule, spec.batch_size)
    if spec.micro_batches > spec.batch_size:
        rule = f"at most batch_size ({spec.batch_size})"
        yield FieldError("/micro_batches", rule, spec.micro_batches)


def _check_batch_norm(spec: JobSpec) -> Iterator[FieldError]:
    if not spec.model.needs_batch_statistics or spec.micro_batches > spec.batch_size:
        return
    rule = f"norm {spec.model.norm!r} needs two rows or more in every part of a tick"
    if spec.batch_size // spec.micro_batches < 2:
        rule += f"; micro_batches is {spec.micro_batches}"
        yield FieldError("/batch_size", rule, spec.batch_size)
        return
    last = 0 if spec.data.drop_last else spec.training_rows % spec.batch_size
    if last and last // min(last, spec.micro_batches) < 2:
        rule += f"; an epoch's last batch would have {last} of {spec.training_rows} rows"
        rule += " (data.drop_last leaves it out)"
        yield FieldError("/batch_size", rule, spec.batch_size)


def _check_schedule(spec: JobSpec) -> Iterator[FieldError]:
    total, schedule = spec.ticks_total, spec.schedule
    if total is None and schedule.name != "constant":
        rule = "a schedule that needs the total of ticks needs a budget of ticks or epochs"
        yield FieldError("/schedule/name", rule, schedule.name)
    if schedule.name == "constant" and schedule.end_factor:
        rule = "0 or left out with the schedule constant, whose rate does not fall"
        yield FieldError("/schedule/end_factor", rule, schedule.end_factor)
    if total and schedule.warmup_ticks >= total:  # 0 without rows: the rules of rows report it
        rule = f"below the {total} ticks of the job"
        yield FieldError("/schedule/warmup_ticks", rule, schedule.warmup_ticks)


def _check_record(spec: JobSpec) -> Iterator[FieldError]:
    if len(set(spec.record)) < len(spec.record):
        yield FieldError("/record", "each column once", list(spec.record))


def _check_conditions(spec: JobSpec) -> Iterator[FieldError]:
    first_places: dict[tuple[str, str, float], int] = {}
    for at, condition in enumerate(map(parse_condition, spec.notify_when)):
        if rule := describe_missing_column(condition, spec):
            yield FieldError(f"/notify_when/{at}", rule, condition.text)
        if (first := first_places.setdefault(condition.meaning, at)) != at:
            rule = f"each condition once; this is that of /notify_when/{first}"
            yield FieldError(f"/notify_when/{at}", rule, condition.text)


def _check_engine(spec: JobSpec) -> Iterator[FieldError]:
    if reason := unsupported_reason(spec, spec.compute.engine):
        rule = f"an engine that can train this: {reason}"
        yield FieldError("/compute/engine", rule, spec.compute.engine)


def _check_size(spec: JobSpec, max_parameters: int) -> Iterator[FieldError]:
    if spec.parameters > max_parameters:
        rule = f"at most {max_parameters} parameters in the model; this one has {spec.parameters}"
        field = "width" if isinstance(spec.model, TransformerLmConfig) else "hidden"
        yield FieldError(f"/model/{field}", rule, spec.model.model_dump()[field])


ROW_FIELDS = {"data", "objective", "validation", "test"}  # these decide the number of rows
BATCH_FIELDS = {*ROW_FIELDS, "batch_size"}
SIZE_FIELDS = {"model", "data", "objective"}

#: rule -> the fields it reads
RULES: dict[Callable[[JobSpec], Iterator[FieldError]], Set[str]] = {
    _check_heads: {"model"},
    _check_other_texts: {"model", "data", "validation", "test"},
    _check_objective: {"model", "data", "objective"},
    _check_target_scaling: {"model", "data", "objective"},
    check_splits: ROW_FIELDS,
    _check_batch: {*BATCH_FIELDS, "micro_batches"},
    _check_batch_norm: {*BATCH_FIELDS, "micro_batches", "model"},
    _check_schedule: {*BATCH_FIELDS, "budget", "schedule"},
    check_validation_metrics: {*ROW_FIELDS},
    check_stop_metrics: {*ROW_FIELDS, "stop"},
    check_best_metric: {*ROW_FIELDS, "checkpoint"},
    check_loss_options: {"data", "objective", "class_weights", "label_smoothing"},
    _check_record: {"record"},
    _check_conditions: {*ROW_FIELDS, "record", "notify_when"},
    _check_engine: {"model", "compute", "class_weights", "label_smoothing"},
}
