"""Real tables out of installed packages, as rows of the texts of a file. Downloads nothing.

They are read from the packages' files, since importing `pydataset` unpacks all of it into the home
folder, and each of them asks for pandas.
"""

import csv
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sklearn.datasets

Record = dict[str, str]


@dataclass(frozen=True)
class Table:
    """Rows with a target in every one of them; a feature that is missing is an empty text."""

    target: str
    is_class: bool
    records: Sequence[Record]
    categories: Sequence[str] = ()
    dates: Sequence[str] = ()  # days, YYYY-MM-DD

    @property
    def numbers(self) -> list[str]:
        """Return the columns of numbers, without the target."""
        others = {self.target, *self.categories, *self.dates}
        return [name for name in self.records[0] if name not in others]

    @property
    def has_gaps(self) -> bool:
        """Return whether a feature is missing in a row."""
        return any("" in record.values() for record in self.records)


def load_tables() -> dict[str, Callable[[], Table]]:
    """Return each table's loader by its name: those of numbers first."""
    return {
        "diabetes": lambda: _bundled(sklearn.datasets.load_diabetes(scaled=False), "progression"),
        "tips": partial(_r_table, "reshape2/tips", "tip", ["sex", "smoker", "day", "time"]),
        "mpg": _cars,
        "economics": partial(_r_table, "ggplot2/economics", "unemploy", dates=["date"]),
        "diamonds": partial(_r_table, "ggplot2/diamonds", "price", ["cut", "color", "clarity"]),
        "iris": lambda: _bundled(sklearn.datasets.load_iris(), "species"),
        "wine": lambda: _bundled(sklearn.datasets.load_wine(), "cultivar"),
        "breast cancer": lambda: _bundled(sklearn.datasets.load_breast_cancer(), "diagnosis"),
        "digits": lambda: _bundled(sklearn.datasets.load_digits(), "digit"),
        "penguins": _penguins,
    }


def _bundled(bunch: Any, target: str) -> Table:
    names = bunch.get("target_names")
    values = bunch.target.tolist() if names is None else names[bunch.target].tolist()
    rows = zip(bunch.data.tolist(), values, strict=True)
    columns = [*map(str, bunch.feature_names), target]
    records = [_record(zip(columns, [*row, value], strict=True)) for row, value in rows]
    return Table(target, names is not None, records)


def _r_table(
    name: str, target: str, categories: Sequence[str] = (), dates: Sequence[str] = ()
) -> Table:
    member = f"resources/rdata/csv/{name}.csv"
    with tarfile.open(_package_folder("pydataset") / "resources.tar.gz") as archive:
        file = archive.extractfile(member)
        assert file is not None, member
        records = list(csv.DictReader(file.read().decode().splitlines()))
    for record in records:
        del record[""]  # R's row numbers
    return Table(target, False, records, categories, dates)


def _cars() -> Table:
    path = _package_folder("vega_datasets") / "_data" / "cars.json"
    rows = [row for row in json.loads(path.read_text()) if row["Miles_per_Gallon"] is not None]
    records = [_record((key, row[key]) for key in row if key != "Name") for row in rows]
    return Table("Miles_per_Gallon", False, records, ["Origin"], ["Year"])


def _penguins() -> Table:
    path = _package_folder("palmerpenguins") / "data" / "penguins.csv"
    rows = csv.DictReader(path.read_text().splitlines())
    records = [{key: "" if value == "NA" else value for key, value in row.items()} for row in rows]
    return Table("species", True, records, ["island", "sex"])


def _record(cells: Iterable[tuple[str, Any]]) -> Record:
    return {name: "" if value is None else str(value) for name, value in cells}


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, f"{name} is missing: make bench-tables"
    return Path(spec.origin).parent
