"""What must fit together between the parts of a spec. Reads the profile, never the data.

Each rule gives the faults it finds; all rules are asked, so that a client learns all at once.
"""

from collections.abc import Callable, Iterator, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.spec.engines import refusal
from jobs.spec.text import vocabulary_of
from models.families import FAMILIES
from models.transformer_lm.config import TransformerLmConfig

if TYPE_CHECKING:
    from jobs.spec.job_spec import JobSpec


class Fault(NamedTuple):
    """One thing wrong with a body: where (JSON pointer), the rule it breaks, the value."""

    pointer: str
    detail: str
    value: Any


def faults(spec: "JobSpec", max_parameters: int, wrong: Set[str] = frozenset()) -> list[Fault]:
    """List everything in a complete spec that does not fit together.

    `wrong` are fields that are known to be wrong alone: rules that read one of them are not asked.
    """
    if unfit := [*_family(spec), *_window(spec)]:
        return unfit  # the other rules count rows, of which there are none that could be
    sound = [rule for rule, fields in RULES.items() if not wrong & fields]
    found = [fault for rule in sound for fault in rule(spec)]
    return found if wrong & SIZED else [*found, *_size(spec, max_parameters)]


def _family(spec: "JobSpec") -> Iterator[Fault]:
    have = "a text" if spec.profile.kind == "token" else "a table"
    fit = [family.name for family in FAMILIES.values() if family.reads == have]
    if spec.model.family not in fit:
        rule = f"a family that can train on these data, {have}: {', '.join(fit)}"
        yield Fault("/model/family", rule, spec.model.family)


def _window(spec: "JobSpec") -> Iterator[Fault]:
    profile, model = spec.profile, spec.model
    if profile.text is None or not isinstance(model, TransformerLmConfig):
        return
    tokens = profile.text.tokens(model.vocabulary)
    if profile.rows < 1:
        rule = f"below the {tokens} {model.vocabulary} of the text"
        yield Fault("/data/window", rule, profile.features)


def _second_text(spec: "JobSpec") -> Iterator[Fault]:
    """A text to validate on must have a window's tokens, and only such as the first one has."""
    if spec.facts is None or spec.facts.validation is None or spec.validation is None:
        return
    other = spec.facts.validation
    if other.text is None or spec.profile.text is None:
        return
    window, vocabulary = spec.profile.features, vocabulary_of(spec.model)
    if other.text.rows(window, vocabulary) < 1:
        yield Fault("/validation/id", f"a text longer than a window ({window})", spec.validation.id)
    new = sorted(set(other.text.vocabulary) - set(spec.profile.text.vocabulary))
    if vocabulary == "characters" and new:
        listed = ", ".join(map(repr, new[:5])) + (", …" if len(new) > 5 else "")
        rule = f"a text of no other characters than the one to train on has; it has {listed}"
        yield Fault("/validation/id", rule, spec.validation.id)


def _heads(spec: "JobSpec") -> Iterator[Fault]:
    model = spec.model
    if isinstance(model, TransformerLmConfig) and model.width % model.heads:
        yield Fault("/model/heads", f"a divisor of width ({model.width})", model.heads)


def _objective(spec: "JobSpec") -> Iterator[Fault]:
    served = FAMILIES[spec.model.family].objectives
    if spec.objective not in served:
        rule = f"an objective that the family {spec.model.family} serves: {', '.join(served)}"
        yield Fault("/objective", rule, spec.objective)
        return
    if spec.objective == "cross_entropy" and spec.profile.kind != "class":
        rule = "cross_entropy needs classes as targets (whole numbers from 0 to 999)"
        yield Fault("/objective", rule, spec.objective)
    if spec.objective == "mse" and spec.profile.kind == "class":
        rule = "mse needs numbers as targets, not classes"
        yield Fault("/objective", rule, spec.objective)


def _validation(spec: "JobSpec") -> Iterator[Fault]:
    if spec.validation is None or spec.validation.fraction is None:
        return
    if spec.held_out_rows < 1:
        rule = f"a fraction that holds out at least one of {spec.profile.rows} rows"
        yield Fault("/validation/fraction", rule, spec.validation.fraction)


def _batch(spec: "JobSpec") -> Iterator[Fault]:
    if spec.batch_size > spec.training_rows:
        rule = f"at most the {spec.training_rows} training rows"
        yield Fault("/batch_size", rule, spec.batch_size)
    if spec.micro_batches > spec.batch_size:
        yield Fault("/micro_batches", f"at most batch_size ({spec.batch_size})", spec.micro_batches)


def _batch_norm(spec: "JobSpec") -> Iterator[Fault]:
    if not spec.model.needs_batch_statistics or spec.micro_batches > spec.batch_size:
        return
    rule = f"norm {spec.model.norm!r} needs two rows or more in every part of a tick"
    if spec.batch_size // spec.micro_batches < 2:
        yield Fault(
            "/batch_size", f"{rule}; micro_batches is {spec.micro_batches}", spec.batch_size
        )
        return
    last = spec.training_rows % spec.batch_size
    if last and last // min(last, spec.micro_batches) < 2:
        rule += f"; an epoch's last batch would have {last} of {spec.training_rows} rows"
        yield Fault("/batch_size", rule, spec.batch_size)


def _schedule(spec: "JobSpec") -> Iterator[Fault]:
    total = spec.ticks_total
    if total is None and spec.schedule.name != "constant":
        rule = "a schedule that needs the total of ticks needs a budget of ticks or epochs"
        yield Fault("/schedule/name", rule, spec.schedule.name)
    if total is not None and spec.schedule.warmup_ticks >= total:
        yield Fault(
            "/schedule/warmup_ticks",
            f"below the {total} ticks of the job",
            spec.schedule.warmup_ticks,
        )


def _stop(spec: "JobSpec") -> Iterator[Fault]:
    for name in ("patience", "converged", "target"):
        rule = getattr(spec.stop, name)
        metric = "loss" if rule is None else rule.metric
        where = f"/stop/{name}/metric"
        if metric != "loss" and spec.validation is None:
            yield Fault(
                where, "a metric that is measured: without validation there is only loss", metric
            )
        elif metric == "val_accuracy" and spec.profile.kind != "class":
            yield Fault(where, "val_accuracy needs classes as targets; these are numbers", metric)


def _record(spec: "JobSpec") -> Iterator[Fault]:
    if len(set(spec.record)) < len(spec.record):
        yield Fault("/record", "each column once", list(spec.record))


def _engine(spec: "JobSpec") -> Iterator[Fault]:
    if why := refusal(spec, spec.compute.engine):
        yield Fault("/compute/engine", f"an engine that can train this: {why}", spec.compute.engine)


def _size(spec: "JobSpec", most: int) -> Iterator[Fault]:
    if spec.parameters > most:
        rule = f"at most {most} parameters in the model; this one has {spec.parameters}"
        field = "width" if isinstance(spec.model, TransformerLmConfig) else "hidden"
        yield Fault(f"/model/{field}", rule, spec.model.model_dump()[field])


ROWS = {"data", "objective", "validation"}  # what decides how many rows there are
BATCHES = {*ROWS, "batch_size"}
SIZED = {"model", "data", "objective"}

#: each rule with the fields it reads
RULES: dict[Callable[["JobSpec"], Iterator[Fault]], Set[str]] = {
    _heads: {"model"},
    _second_text: {"model", "data", "validation"},
    _objective: {"model", "data", "objective"},
    _validation: ROWS,
    _batch: {*BATCHES, "micro_batches"},
    _batch_norm: {*BATCHES, "micro_batches", "model"},
    _schedule: {*BATCHES, "budget", "schedule"},
    _stop: {*ROWS, "stop"},
    _record: {"record"},
    _engine: {"model", "compute"},
}
