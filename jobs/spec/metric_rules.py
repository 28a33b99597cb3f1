"""The rules of a spec's metrics and of its loss: what its targets have, and what names them."""

from collections.abc import Iterator

from jobs.spec.base import FieldError, pointer_step
from jobs.spec.data import METRICS_REVISION, Profile
from jobs.spec.job_spec import JobSpec
from jobs.spec.metrics import AUC, METRICS, better_mode
from jobs.spec.training import BestRule

KIND_WORDS = {"number": "numbers", "class": "classes", "token": "a text"}


def check_stop_metrics(spec: JobSpec) -> Iterator[FieldError]:
    """Yield an error for each stop rule on a metric that the job does not record."""
    for name in ("patience", "converged", "target"):
        rule = getattr(spec.stop, name)
        if rule is not None and rule.metric != "loss":
            yield from _check_recorded(spec, f"/stop/{name}/metric", rule.metric)


def check_best_metric(spec: JobSpec) -> Iterator[FieldError]:
    """Yield the error of a best checkpoint by a metric that the job does not record."""
    best, stop_rule = spec.checkpoint.best, spec.stop.patience
    is_named_twice = best and stop_rule and best.metric == stop_rule.metric  # an error there
    if best is not None and not is_named_twice:
        yield from _check_recorded(spec, "/checkpoint/best/metric", best.metric)


def check_validation_metrics(spec: JobSpec) -> Iterator[FieldError]:
    """Yield an error for each metric of `validation.metrics` that the objective does not have."""
    for at, metric in enumerate((spec.validation and spec.validation.metrics) or []):
        if metric not in spec.validation_metrics:
            rule = _describe_needs(metric, spec.profile)
            yield FieldError(f"/validation/metrics/{at}", rule, metric)


def check_loss_options(spec: JobSpec) -> Iterator[FieldError]:
    """Yield the errors of class weights and label smoothing."""
    is_class = spec.objective == "cross_entropy"
    if spec.class_weights is not None and not is_class:
        rule = "null: class_weights are for the objective cross_entropy"
        yield FieldError("/class_weights", rule, spec.class_weights)
    elif isinstance(spec.class_weights, dict) and spec.profile.kind == "class":
        names = spec.class_names
        known_classes = set(names)
        rule = f"a class of the target: {', '.join(map(repr, names[:10]))}"
        rule += ", …" if len(names) > 10 else ""
        for name in (given for given in spec.class_weights if given not in known_classes):
            yield FieldError(f"/class_weights/{pointer_step(name)}", rule, name)
    if spec.label_smoothing and not is_class:
        rule = "0: label_smoothing is for the objective cross_entropy"
        yield FieldError("/label_smoothing", rule, spec.label_smoothing)


def fill_best_rule(spec: JobSpec) -> JobSpec:
    """Return a spec with the metric of its best checkpoint written out.

    Without a validation there is none; specs of earlier builds go by val_loss.
    """
    if spec.validation is None or spec.revision < METRICS_REVISION:
        return spec
    stop_rule, rule = spec.stop.patience, spec.checkpoint.best
    if rule is None:
        metric = "loss" if stop_rule is None else stop_rule.metric
        rule = BestRule() if metric == "loss" else BestRule(metric=metric)
    rule = rule.model_copy(update={"mode": rule.mode or better_mode(rule.metric)})
    return spec.model_copy(update={"checkpoint": spec.checkpoint.model_copy(update={"best": rule})})


def _check_recorded(spec: JobSpec, pointer: str, metric: str) -> Iterator[FieldError]:
    if metric in spec.metric_names:
        return
    rule = "a metric that is measured: without validation there is only loss"
    if spec.validation is not None and metric in spec.validation_metrics:
        rule = "a metric among validation.metrics"
    elif spec.validation is not None:
        rule = _describe_needs(metric, spec.profile)
    yield FieldError(pointer, rule, metric)


def _describe_needs(metric: str, profile: Profile) -> str:
    """Return why a metric is none of these targets."""
    name = metric.removeprefix("val_")
    if name == AUC and profile.kind == "class":
        return f"{metric} needs two classes as targets; these are {profile.classes}"
    kinds = [kind for kind, names in METRICS.items() if name in names]
    if not kinds and name == AUC:
        kinds = ["class"]
    if not kinds or profile.kind in kinds:  # a spec of an earlier build, which has fewer
        return f"{metric} is not recorded by specs of the build that this one was made by"
    return f"{metric} needs {KIND_WORDS[kinds[0]]} as targets; these are {KIND_WORDS[profile.kind]}"
