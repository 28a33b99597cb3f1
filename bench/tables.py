"""`make bench-tables`: nets that the service trains on real tables, beside scikit-learn's.

A fifth of a table's rows is held out, in each round others, and every side gets the same rest. The
service trains by its defaults and keeps the best checkpoint by a tenth of these rows. scikit-learn
gets the same sizes (64, 64), batches of 32, learning rate 0.001, epochs and tenth. Scores are R²
in the target's own units and accuracy: the load of the machine does not count. scikit-learn and
the tables are an extra (bench/tables-requirements.txt); nothing else needs them.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, r2_score

from bench.report import Figure, describe_machine, show
from bench.service import BenchService, running_service
from bench.table_data import Record, Table, load_tables
from bench.table_models import predict_by_mlp, predict_linearly, target_values
from bench.table_service import predict_by_service

ROUNDS, EPOCHS, LARGE_EPOCHS = 10, 200, 20
LARGE_ROWS = 10_000  # tables of so many rows are trained on for LARGE_EPOCHS
QUICK_ROUNDS, QUICK_TABLES = 2, ("tips", "mpg", "iris", "penguins")
#: (table, training rows, held out rows, epochs, seed) -> predictions
Predict = Callable[[Table, Sequence[Record], Sequence[Record], int, int], list[Any]]
SERVICE, OTHERS = "service", ("scikit-learn's mlp", "a linear model")


def make_sides(service: BenchService) -> dict[str, Predict]:
    """Return what is compared, by its name on the page."""
    return {
        SERVICE: partial(predict_by_service, service),
        "service, no norm, validated each epoch": partial(
            predict_by_service, service, as_scikit_learn=True
        ),
        OTHERS[0]: predict_by_mlp,
        OTHERS[1]: lambda table, training, test, _epochs, _seed: predict_linearly(
            table, training, test
        ),
    }


def measure(names: Sequence[str], rounds: int) -> list[Figure]:
    """Score all sides on each table, in every round on other rows."""
    torch.set_num_threads(1)
    figures: list[Figure] = []
    differences: dict[str, list[float]] = {other: [] for other in OTHERS}
    with running_service() as service:
        for name in names:
            table = load_tables()[name]()
            scores = score_sides(make_sides(service), table, rounds)
            unit = "accuracy" if table.is_class else "R²"
            figures += [Figure(f"{name}: {side}", unit, scores[side]) for side in scores]
            for other in OTHERS:
                pairs = zip(scores[SERVICE], scores[other], strict=True)
                values = [ours - theirs for ours, theirs in pairs]
                figures.append(Figure(f"{name}: service less {other}", unit, values))
                differences[other].append(statistics.median(values))
            print(f"{name} done", file=sys.stderr, flush=True)
    for other, medians in differences.items():
        figures.append(Figure(f"least of these medians: service less {other}", "", [min(medians)]))
    return figures


def score_sides(sides: dict[str, Predict], table: Table, rounds: int) -> dict[str, list[float]]:
    """Return each side's R² or accuracy on the held out rows of every round."""
    score = accuracy_score if table.is_class else r2_score
    epochs = LARGE_EPOCHS if len(table.records) >= LARGE_ROWS else EPOCHS
    scores: dict[str, list[float]] = {side: [] for side in sides}
    for seed in range(rounds):
        training, test = split_rows(table.records, seed)
        expected = target_values(table, test)
        for side, predict in sides.items():
            predictions = predict(table, training, test, epochs, seed)
            scores[side].append(float(score(expected, predictions)))
    return scores


def split_rows(records: Sequence[Record], seed: int) -> tuple[list[Record], list[Record]]:
    """Return four fifths of the rows and the rest, as drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(records))
    held_out = len(records) // 5
    return [records[at] for at in order[held_out:]], [records[at] for at in order[:held_out]]


def main(argv: Sequence[str]) -> int:
    """Measure the named tables, or all, and show."""
    tables = list(load_tables())
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TABLE", help=", ".join(tables))
    parser.add_argument("--rounds", type=int, help="splits of each table")
    parser.add_argument("--quick", action="store_true", help="few splits of four small tables")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in tables]:
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(tables)}")
    names = options.names or (QUICK_TABLES if options.quick else tables)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    environment = describe_machine() | {"scikit-learn": version("scikit-learn")}
    if set(names) != set(tables) or rounds < ROUNDS:
        environment["form"] = "quick"  # not for the page
    show("tables", "Tables: beside scikit-learn", environment, measure(names, rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
