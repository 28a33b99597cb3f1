"""scikit-learn's models of a table: an mlp with the service's hyperparameters, a linear one."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bench.table_data import Record, Table

VALIDATION_FRACTION = 0.1


def predict_by_mlp(
    table: Table, training: Sequence[Record], test: Sequence[Record], epochs: int, seed: int
) -> list[Any]:
    """Return predictions of a net of the service's default sizes, batches and learning rate.

    All epochs are trained, and the weights with the best score on a tenth of the rows are kept.
    """
    options = {
        "hidden_layer_sizes": (64, 64), "batch_size": 32, "learning_rate_init": 0.001,
        "max_iter": epochs, "early_stopping": True, "validation_fraction": VALIDATION_FRACTION,
        "n_iter_no_change": epochs, "random_state": seed,
    }  # fmt: skip
    if table.is_class:
        return _fit_and_predict(table, MLPClassifier(**options), training, test)
    net = TransformedTargetRegressor(MLPRegressor(**options), transformer=StandardScaler())
    return _fit_and_predict(table, net, training, test)


def predict_linearly(table: Table, training: Sequence[Record], test: Sequence[Record]) -> list[Any]:
    """Return predictions of ridge regression, of logistic regression for classes."""
    model = LogisticRegression(max_iter=1000) if table.is_class else Ridge()
    return _fit_and_predict(table, model, training, test)


def target_values(table: Table, records: Sequence[Record]) -> list[Any]:
    """Return the targets: names of classes, or numbers."""
    texts = [record[table.target] for record in records]
    return texts if table.is_class else [float(text) for text in texts]


def _fit_and_predict(
    table: Table, model: Any, training: Sequence[Record], test: Sequence[Record]
) -> list[Any]:
    numbers = len(table.numbers) + len(table.dates)
    scaled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    parts: list[Any] = [("numbers", scaled, slice(0, numbers))]
    if table.categories:
        parts.append(("categories", OneHotEncoder(), slice(numbers, None)))
    columns = ColumnTransformer(parts)
    pipeline = make_pipeline(columns, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are trained on purpose
        pipeline.fit(_features(table, training), target_values(table, training))
    return list(pipeline.predict(_features(table, test)).tolist())


def _features(table: Table, records: Sequence[Record]) -> Any:
    return np.array([
        [*(float(record[name] or "nan") for name in table.numbers),
         *(_seconds(record[name]) for name in table.dates),
         *(record[name] for name in table.categories)]
        for record in records
    ], dtype=object)  # fmt: skip


def _seconds(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
