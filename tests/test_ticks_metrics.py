"""Metrics of held-out rows beside scikit-learn's and beside their formulas, at the edges too."""

import json
import math
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.needs import SCIKIT_LEARN, needs
from ticks.metrics.classes import MAX_CONFUSION_CLASSES, ClassMetrics
from ticks.metrics.evaluation import HeldOutMetrics, RowEvaluation
from ticks.metrics.numbers import MAX_REPORT_COLUMNS, QUANTILES, NumberMetrics
from ticks.metrics.tokens import TokenMetrics
from ticks.reports import VALIDATION, Reports, describe_evaluation

Array = NDArray[Any]
Sums = TypeVar("Sums", bound=HeldOutMetrics)
DEVIATION = np.array([3.0, 0.5])


def class_case(name: str) -> tuple[Array, Array]:
    """Outputs [rows, classes] and class numbers [rows]."""
    rng = np.random.default_rng(len(name))
    classes, rows = (2, 300) if name.startswith("two") else (5, 300)
    outputs = rng.standard_normal((rows, classes)).astype(np.float32)
    targets = rng.integers(0, classes, rows)
    if "ties" in name:
        outputs = np.round(outputs)
    if "rare" in name:  # 1.1 %, and a net that always says the other one
        targets, outputs = (np.arange(rows) % 90 == 1).astype(int), np.tile([1.0, -1.0], (rows, 1))
    if "absent" in name:
        targets = np.where(targets == 1, 0, targets)
    if "one row" in name:  # a right one
        outputs, targets = outputs[:1], outputs[:1].argmax(axis=1)
    return outputs.astype(np.float32), targets


CLASS_CASES = [
    "two", "two, ties", "two, rare", "two, one absent", "two, one row", "five", "five, ties",
    "five, one absent", "five, one row",
]  # fmt: skip


def number_case(name: str) -> tuple[Array, Array]:
    """Outputs and targets [rows, 2], float32 as a net has them."""
    rng = np.random.default_rng(len(name))
    targets = rng.standard_normal((200, 2)) + (1e4 if "far" in name else 0)
    outputs = targets + 0.3 * rng.standard_normal((200, 2))
    if "sorted" in name:
        targets = np.sort(targets, axis=0)
    if "constant" in name:
        targets[:, 1] = 0.1
    if "one row" in name:
        outputs, targets = outputs[:1], targets[:1]
    return outputs.astype(np.float32), targets.astype(np.float32)


NUMBER_CASES = ["random", "far from 0", "sorted", "a constant one", "one row"]


def fill(sums: Sums, outputs: Array, targets: Array, block: int = 64) -> Sums:
    for first in range(0, len(outputs), block):
        rows = slice(first, first + block)
        sums.add(torch.tensor(outputs[rows]), torch.tensor(targets[rows]))
    return sums


def class_metrics(name: str) -> ClassMetrics:
    outputs, targets = class_case(name)
    return fill(ClassMetrics([str(at) for at in range(outputs.shape[1])]), outputs, targets)


def formula_of_classes(outputs: Array, targets: Array) -> dict[str, float]:
    """Accuracy, macro F1 and AUC by their definitions: pair by pair, class by class."""
    predicted = outputs.argmax(axis=1)
    scores = []
    for number in sorted({*targets.tolist(), *predicted.tolist()}):
        right = int(((predicted == number) & (targets == number)).sum())
        wrong = int(((predicted == number) != (targets == number)).sum())
        scores.append(2 * right / (2 * right + wrong))
    metrics = {
        "accuracy": float((predicted == targets).mean()),
        "macro_f1": math.fsum(scores) / len(scores),
    }
    if outputs.shape[1] == 2:
        score = outputs[:, 1].astype(float) - outputs[:, 0]
        pairs = score[targets == 1][:, None] - score[targets == 0][None]
        auc = ((pairs > 0) + 0.5 * (pairs == 0)).mean() if pairs.size else math.nan
        metrics["auc"] = float(auc)
    return metrics


def formula_of_numbers(outputs: Array, targets: Array) -> dict[str, float]:
    actual, errors = targets.astype(float), targets.astype(float) - outputs
    deviations = ((actual - actual.mean(axis=0)) ** 2).sum(axis=0)
    is_constant = (actual == actual[0]).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(is_constant, np.nan, 1 - (errors**2).sum(axis=0) / deviations)
    units = errors * DEVIATION
    rmse = np.sqrt((units**2).mean(axis=0)).mean()
    return {"r2": float(r2.mean()), "mae": float(np.abs(units).mean()), "rmse": float(rmse)}


@pytest.mark.parametrize("name", CLASS_CASES)
def test_metrics_of_classes_are_their_formulas(name: str) -> None:
    expected = formula_of_classes(*class_case(name))
    assert class_metrics(name).compute(0.0) == pytest.approx(expected, rel=1e-14, nan_ok=True)


@needs(SCIKIT_LEARN)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CLASS_CASES)
def test_metrics_of_classes_are_those_of_scikit_learn(name: str) -> None:
    from sklearn import metrics as sklearn

    outputs, targets = class_case(name)
    predicted, labels = outputs.argmax(axis=1), list(range(outputs.shape[1]))
    expected = {
        "accuracy": sklearn.accuracy_score(targets, predicted),
        "macro_f1": sklearn.f1_score(targets, predicted, average="macro"),
    }
    if len(labels) == 2:
        score = outputs[:, 1].astype(float) - outputs[:, 0]
        expected["auc"] = sklearn.roc_auc_score(targets, score)
    sums = class_metrics(name)
    assert sums.compute(0.0) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    report = sums.report()
    assert (
        report["confusion"] == sklearn.confusion_matrix(targets, predicted, labels=labels).tolist()
    )
    options: dict[str, Any] = {"labels": labels, "average": None, "zero_division": np.nan}
    recall = sklearn.recall_score(targets, predicted, **options)
    precision = sklearn.precision_score(targets, predicted, **options)
    assert report["recall"] == pytest.approx(recall, nan_ok=True)
    assert report["precision"] == pytest.approx(precision, nan_ok=True)


@pytest.mark.parametrize("name", NUMBER_CASES)
def test_metrics_of_numbers_are_their_formulas_in_the_targets_own_units(name: str) -> None:
    outputs, targets = number_case(name)
    sums = fill(NumberMetrics(DEVIATION), outputs, targets)
    expected = formula_of_numbers(outputs, targets)
    assert sums.compute(0.0) == pytest.approx(expected, rel=1e-9, nan_ok=True)
    quantiles = np.quantile((targets.astype(float) - outputs) * DEVIATION, QUANTILES, axis=0)
    columns = np.array(sums.report()["residuals"]["columns"])
    assert columns == pytest.approx(quantiles.T, rel=1e-12, abs=1e-12)


@needs(SCIKIT_LEARN)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", NUMBER_CASES)
def test_metrics_of_numbers_are_those_of_scikit_learn(name: str) -> None:
    from sklearn import metrics as sklearn

    outputs, targets = number_case(name)
    actual, predicted = targets.astype(float) * DEVIATION, outputs.astype(float) * DEVIATION
    with np.errstate(divide="ignore"):
        r2 = sklearn.r2_score(actual, predicted, force_finite=False)
    expected = {
        "r2": r2 if np.isfinite(r2) else math.nan,  # of a constant target it is -inf or NaN there
        "mae": sklearn.mean_absolute_error(actual, predicted),
        "rmse": sklearn.root_mean_squared_error(actual, predicted),
    }
    metrics = fill(NumberMetrics(DEVIATION), outputs, targets).compute(0.0)
    assert metrics == pytest.approx(expected, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize("vocabulary", [None, ["a", "ß", "€", "😀"]])
def test_perplexity_is_of_a_token_and_bits_are_of_a_byte(vocabulary: list[str] | None) -> None:
    sums = TokenMetrics(vocabulary)
    tokens = torch.tensor([[0, 1, 2], [3, 3, 0]])
    sums.add(torch.zeros(2, 3, 4), tokens)
    size = 6 if vocabulary is None else len("aß€😀😀a".encode())
    metrics = sums.compute(1.25)
    assert metrics["perplexity"] == math.exp(1.25)
    assert metrics["bits_per_byte"] == pytest.approx(1.25 * 6 / math.log(2) / size, rel=1e-15)
    assert sums.report() == {"tokens": 6, "bytes": size}


@pytest.mark.parametrize(
    "loss, perplexity", [(1e4, math.inf), (math.inf, math.inf), (math.nan,) * 2]
)
def test_the_perplexity_of_a_net_that_has_diverged_is_not_finite(
    loss: float, perplexity: float
) -> None:
    sums = TokenMetrics(None)
    sums.add(torch.zeros(1, 1, 256), torch.tensor([[7]]))
    assert sums.compute(loss)["perplexity"] == pytest.approx(perplexity, nan_ok=True)


def evaluation_of(kind: str, block: int) -> RowEvaluation:
    if kind == "class":
        outputs, targets = class_case("two, ties")
        return RowEvaluation(0.5, fill(ClassMetrics(["0", "1"]), outputs, targets, block))
    outputs, targets = number_case("far from 0")
    return RowEvaluation(0.5, fill(NumberMetrics(DEVIATION), outputs, targets, block))


@pytest.mark.parametrize("kind", ["class", "number"])
def test_metrics_do_not_depend_on_the_blocks_but_for_the_last_bits_of_r2(kind: str) -> None:
    whole, pieces = (evaluation_of(kind, block).metrics for block in (10**6, 7))
    r2 = [metrics.pop("r2", 0.0) for metrics in (whole, pieces)]
    assert whole == pieces and r2[0] == pytest.approx(r2[1], rel=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", ["class", "number"])
def test_outputs_that_are_not_finite_make_null_metrics_and_no_error(
    kind: str, value: float
) -> None:
    outputs, targets = class_case("two") if kind == "class" else number_case("random")
    sums = ClassMetrics(["0", "1"]) if kind == "class" else NumberMetrics(DEVIATION)
    evaluation = RowEvaluation(math.nan, fill(sums, np.full_like(outputs, value), targets))
    section = describe_evaluation(evaluation)
    assert json.dumps(section, allow_nan=False)
    undefined = {"class": ["auc"], "number": ["r2", "mae", "rmse"]}[kind]
    assert all(section["metrics"][name] is None for name in ["loss", *undefined])


def test_a_report_is_bounded_however_many_classes_and_columns_there_are() -> None:
    classes = MAX_CONFUSION_CLASSES + 1
    sums = ClassMetrics([str(at) for at in range(classes)])
    sums.add(torch.eye(classes), torch.arange(classes))
    report = sums.report()
    assert report["confusion"] is None and len(report["recall"]) == classes
    wide = NumberMetrics(None)
    wide.add(torch.zeros(3, 50), torch.ones(3, 50))
    report = wide.report()
    assert len(report["r2"]) == len(report["residuals"]["columns"]) == MAX_REPORT_COLUMNS


def test_a_section_of_a_tick_that_a_fork_does_not_count_is_left_out() -> None:
    reports = Reports()
    reports.add(VALIDATION, 40, evaluation_of("class", 64))
    saved = json.loads(json.dumps(reports.render()))
    for validated_at, expected in ((40, saved), (30, {})):
        restored = Reports()
        restored.restore(saved, validated_at, None)
        assert restored.render() == expected
