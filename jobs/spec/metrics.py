"""The metrics of held-out rows by name: which a job records, and which way each is better.

Knows no tensor; `ticks/metrics` computes them.
"""

from typing import Literal

from jobs.spec.data import Profile

ValidationMetric = Literal[
    "val_loss",
    "val_r2",
    "val_mae",
    "val_rmse",
    "val_accuracy",
    "val_macro_f1",
    "val_auc",
    "val_perplexity",
    "val_bits_per_byte",
]
#: what a stop rule may read
Metric = Literal["loss", ValidationMetric]
Mode = Literal["min", "max"]

#: kind of target -> metrics beside the loss, without the prefix of their rows
METRICS = {
    "number": ("r2", "mae", "rmse"),
    "class": ("accuracy", "macro_f1"),
    "token": ("perplexity", "bits_per_byte"),
}
AUC = "auc"  # of two classes
#: what builds before this list recorded beside the loss
FIRST_METRICS = {"class": ("accuracy",)}
#: metrics that are better the higher they are; all others are better the lower
HIGHER_IS_BETTER = {"val_r2", "val_accuracy", "val_macro_f1", "val_auc"}


def list_metrics(profile: Profile, *, is_first_list: bool) -> list[str]:
    """Return the metrics of held-out rows, the loss first, without the prefix of their rows.

    `is_first_list`: those of specs of earlier builds.
    """
    if is_first_list:
        return ["loss", *FIRST_METRICS.get(profile.kind, ())]
    names = ["loss", *METRICS[profile.kind]]
    return [*names, AUC] if profile.classes == 2 else names


def better_mode(metric: str) -> Mode:
    """Return whether the best value of a metric is its least or its greatest."""
    return "max" if metric in HIGHER_IS_BETTER else "min"
