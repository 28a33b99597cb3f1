"""A dataset's predictions as CSV: one line a row, whatever the net answered."""

import csv
import io
import json

from jobs.answers.results import to_csv
from jobs.spec.reading import read_spec
from tests.support import ROOT

CLASSES = read_spec(
    json.loads((ROOT / "examples" / "digits.json").read_text()), max_parameters=10**6
)


def test_a_prediction_without_a_class_and_a_row_with_an_error_have_empty_cells() -> None:
    lines = [
        {"row": 1, "class": "7", "probabilities": {"7": 0.75, "8": 0.25}},
        {"row": 2, "class": None, "probabilities": {"7": None, "8": None}},
        {"row": 3, "error": "weight: 'x' is no number"},
    ]
    file = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    rows = list(csv.reader(io.StringIO(b"".join(to_csv(file, CLASSES)).decode())))

    assert rows == [
        ["row", "class", "probability", "error"],
        ["1", "7", "0.75", ""],
        ["2", "", "", ""],
        ["3", "", "", "weight: 'x' is no number"],
    ]
