"""What a spec asks for that works, but seldom as hoped: told with its plan and its job.

Reads the spec and what is bound to it, never data.
"""

import math
from collections.abc import Iterator, Sequence

from jobs.spec.base import MAX_TICKS
from jobs.spec.data import FIRST_REVISION, InlineData
from jobs.spec.dataset_binding import DatasetBinding
from jobs.spec.job_spec import JobSpec
from jobs.spec.tick_costs import estimate_tick_seconds
from models.mlp.config import MlpConfig

#: a target of numbers trains badly unscaled where its mean is more deviations from 0 ...
MAX_MEAN_IN_DEVIATIONS = 3.0
#: ... or its deviation is outside of this range
DEVIATION_RANGE = (0.1, 10.0)
MAX_TARGET_WARNINGS = 10  # of one spec: a target may have any number of numbers
#: that saving a small checkpoint takes, with its fsyncs
SAVE_SECONDS = 0.01
MIN_VALIDATIONS = 100  # of a job, for its checkpoints to matter
NOTHING_LEFT = "0 for every row, and nothing is learned through it"
#: norm -> what it makes of the only feature of a row
ONE_FEATURE = {
    "layer": NOTHING_LEFT, "layer+batch": NOTHING_LEFT, "group": NOTHING_LEFT,
    "rms": "its sign, and nothing is learned of its size",
}  # fmt: skip
#: a table of so few rows that is trained on so often needs a rule that ends it
MAX_SMALL_ROWS, MANY_PASSES = 10_000, 100
#: options of an upload that say what its cells mean
CELL_OPTIONS = ("missing", "decimal", "thousands")
#: groups, which are held out whole, may be this many times the rows that were asked for, untold
MAX_GROUP_EXCESS = 1.5


def find_warnings(spec: JobSpec) -> list[str]:
    """Return all that is doubtful about a spec, as far as it and its profiles tell."""
    return [*find_spec_warnings(spec), *find_target_warnings(spec), *_patience_warnings(spec)]


def find_spec_warnings(spec: JobSpec) -> list[str]:
    """Return the warnings of all but the targets' scale, each with the field that is the way out.

    A spec of an earlier build has none.
    """
    if spec.revision == FIRST_REVISION:
        return []
    notes = [] if spec.facts is None else [*spec.facts.notes, *_option_warnings(spec.facts)]
    if spec.weights is not None:
        notes += [f"init leaves out what does not fit: {rule}" for rule in spec.weights.left_out]
    return [*notes, *_model_warnings(spec), *_split_warnings(spec), *_checkpoint_warnings(spec)]


def _option_warnings(binding: DatasetBinding) -> Iterator[str]:
    """Yield a warning for each other dataset whose cells are read by other options."""
    options = binding.data.parse_options
    for name, file in (("validation", binding.validation), ("test", binding.test)):
        if file is None or file.text is not None:
            continue
        names = [
            field for field in CELL_OPTIONS
            if getattr(options, field) != getattr(file.parse_options, field)
        ]  # fmt: skip
        if names:
            yield (
                f"the dataset {name}.id was uploaded with other options than data.id "
                f"({', '.join(names)}): cells that are written alike may be read differently"
            )


def find_target_warnings(spec: JobSpec) -> list[str]:
    """Return the warnings of targets that are not scaled and should be, judged by all rows."""
    if spec.revision == FIRST_REVISION or spec.is_target_scaled or spec.profile.kind != "number":
        return []
    statistics = _inline_statistics(spec)
    if spec.facts is not None:
        statistics = spec.facts.target_statistics
    return target_scale_warnings(spec, statistics)


def target_scale_warnings(spec: JobSpec, statistics: Sequence[Sequence[float]]) -> list[str]:
    """Return the warnings for mean and deviation of each target that is not scaled."""
    name = getattr(spec.data, "target", None) or "targets"
    doubtful = [at for at, pair in enumerate(statistics) if not _is_scaled(*pair)]
    warnings = [
        _target_scale_warning(name if len(statistics) == 1 else f"{name}[{at}]", *statistics[at])
        for at in doubtful[:MAX_TARGET_WARNINGS]
    ]
    if left_out := len(doubtful) - len(warnings):
        warnings.append(f"the same holds of {left_out} more numbers of the target {name!r}")
    return warnings


def _is_scaled(mean: float, deviation: float) -> bool:
    """Return whether an unscaled target of this mean and deviation trains well."""
    low, high = DEVIATION_RANGE
    return abs(mean) <= MAX_MEAN_IN_DEVIATIONS * deviation and low <= deviation <= high


def _target_scale_warning(name: str, mean: float, deviation: float) -> str:
    return (
        f"the target {name!r} has mean {mean:.6g} and deviation {deviation:.6g} and is not scaled: "
        "training may take very long or fail; set data.standardize_target to true"
    )


def _inline_statistics(spec: JobSpec) -> list[list[float]]:
    """Return mean and deviation of each target of rows in the body."""
    if not isinstance(spec.data, InlineData):
        return []
    rows = [target if isinstance(target, Sequence) else [target] for target in spec.data.targets]
    return [mean_and_deviation(column) for column in zip(*rows, strict=True)]


def mean_and_deviation(values: Sequence[float]) -> list[float]:
    """Return mean and (biased) deviation of some numbers."""
    mean = math.fsum(values) / len(values)
    return [mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))]


def _model_warnings(spec: JobSpec) -> Iterator[str]:
    model = spec.model
    is_mlp = isinstance(model, MlpConfig)
    widths = model.hidden if isinstance(model, MlpConfig) else [model.width]
    if model.norm in ONE_FEATURE and 1 in widths:
        place = "model.hidden has a layer of width 1" if is_mlp else "model.width is 1"
        yield (
            f"{place}: model.norm {model.norm!r} over one feature is {ONE_FEATURE[model.norm]}; "
            "take another width or norm"
        )


def _checkpoint_warnings(spec: JobSpec) -> Iterator[str]:
    """Yield the warning of a job that may save the best state more often than it trains."""
    validation = spec.validation
    every = None if validation is None else validation.every_ticks
    if every is None or not spec.checkpoint.keep_best:
        return
    seconds = every * estimate_tick_seconds(spec)
    validations = (spec.ticks_total or MAX_TICKS) // every
    if seconds < SAVE_SECONDS and validations >= MIN_VALIDATIONS:
        yield (
            f"validation.every_ticks is {every}: with checkpoint.keep_best each validation that is "
            "the best so far saves a checkpoint, which may take longer than the ticks before it; "
            "take a larger every_ticks, or keep_best false"
        )


def _patience_warnings(spec: JobSpec) -> Iterator[str]:
    """Yield the warning of a table that a net is likely to fit by heart before the budget ends."""
    total, rows = spec.ticks_total, spec.training_rows
    if spec.validation is None or spec.stop.patience is not None or total is None:
        return
    passes = total // spec.ticks_per_epoch
    if spec.profile.text is None and rows <= MAX_SMALL_ROWS and passes >= MANY_PASSES:
        outcome = "the best checkpoint is kept" if spec.checkpoint.keep_best else "no best is kept"
        yield (
            f"{rows:,} rows are trained on {passes:,} times, and a net often fits such a table by "
            f"heart long before: {outcome}, and nothing ends the job then; see stop.patience"
        )


def _split_warnings(spec: JobSpec) -> Iterator[str]:
    parts = {
        "validation": (spec.validation, spec.held_out_rows),
        "test": (spec.test, spec.test_rows),
    }
    for name, (part, rows) in parts.items():
        if part is not None and part.id is not None and part.id == getattr(spec.data, "id", None):
            yield (
                f"{name}.id is the dataset that is trained on: its rows say nothing of new ones; "
                f"take {name}.fraction or another dataset"
            )
        if part is None or part.split != "group":
            continue
        if rows > MAX_GROUP_EXCESS * (wanted := max(1, spec.count_share(part))):
            yield (
                f"{name}.group {part.group!r}: groups are held out whole, which takes {rows:,} of "
                f"{spec.profile.rows:,} rows where the fraction {part.fraction} means {wanted:,}"
            )
