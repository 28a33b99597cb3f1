"""Where a job's rows come from, and what is known of them without looking at them again.

The profile is what every check at submission reads. Knows no tensor.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from jobs.spec.base import Float32, Part, Seed
from models.numbers import INTEGRAL

#: small real data sets that come with the service: NAME.csv and its profile NAME.json
EXAMPLES = Path(__file__).parents[2] / "examples" / "data"

Kind = Literal["class", "number"]
Row = Annotated[list[Float32], Field(min_length=1)]


class Profile(Part):
    """What is known of a job's data: rows, features a row, outputs a net must have for it."""

    rows: int
    features: int
    outputs: int
    kind: Kind
    classes: int | None = None


class InlineData(Part):
    """Rows in the body itself. A target is a number or a row of numbers; the objective
    cross_entropy takes whole numbers from 0 on as classes."""

    source: Literal["inline"]
    inputs: Annotated[list[Row], Field(min_length=1)]
    targets: Annotated[list[Float32 | Row], Field(min_length=1)]
    shuffle: bool = True

    def faults(self) -> list[tuple[str, str, Any]]:
        """What is wrong between the rows: (pointer below /data, rule, value)."""
        found: list[tuple[str, str, Any]] = []
        width = len(self.inputs[0])
        ragged = [at for at, row in enumerate(self.inputs) if len(row) != width]
        for at in ragged[:10]:
            found.append(
                (f"/inputs/{at}", f"a row of {width} numbers like the first", self.inputs[at])
            )
        if len(self.targets) != len(self.inputs):
            rule = f"one target a row: {len(self.inputs)}"
            found.append(("/targets", rule, f"{len(self.targets)} targets"))
        first = _width(self.targets[0])
        odd = [at for at, target in enumerate(self.targets) if _width(target) != first]
        for at in odd[:10]:
            found.append((f"/targets/{at}", "a target of the first one's form", self.targets[at]))
        return found

    def profile(self, objective: str | None) -> Profile:
        """Derive what is known; only of data without faults."""
        rows, features = len(self.inputs), len(self.inputs[0])
        numbers = _whole(self.targets) if objective == "cross_entropy" else None
        if numbers is None:
            outputs = _width(self.targets[0]) or 1
            return Profile(rows=rows, features=features, outputs=outputs, kind="number")
        classes = max(2, max(numbers) + 1)
        return Profile(rows=rows, features=features, outputs=classes, kind="class", classes=classes)


class ExampleData(Part):
    """One of the small real data sets that come with the service."""

    source: Literal["example"]
    name: str
    shuffle: bool = True

    def faults(self) -> list[tuple[str, str, Any]]:
        """An unknown name: (pointer below /data, rule, value)."""
        if self.name in example_names():
            return []
        return [("/name", "one of " + ", ".join(example_names()), self.name)]

    def profile(self, objective: str | None) -> Profile:
        """Read what is known from the file beside the data."""
        return _example_profile(self.name)


class SyntheticData(Part):
    """Rows drawn from a seed: `regression` (normal inputs, a linear target with noise) or
    `classification` (normal clouds around one centre a class)."""

    source: Literal["synthetic"]
    kind: Literal["regression", "classification"]
    samples: Annotated[int, Field(ge=1, le=10_000_000), INTEGRAL] = 1000
    features: Annotated[int, Field(ge=1, le=65_536), INTEGRAL] = 10
    classes: Annotated[int, Field(ge=2, le=1000), INTEGRAL] | None = None
    seed: Seed = 0
    shuffle: bool = True

    def faults(self) -> list[tuple[str, str, Any]]:
        """What does not fit between the fields: (pointer below /data, rule, value)."""
        found: list[tuple[str, str, Any]] = []
        if self.kind == "regression" and self.classes is not None:
            found.append(("/classes", "null for a regression", self.classes))
        if self.samples * self.features > 1_000_000_000:
            rule = "samples × features of at most 1,000,000,000"
            found.append(("/samples", rule, self.samples))
        return found

    def profile(self, objective: str | None) -> Profile:
        """Derive what is known."""
        if self.kind == "regression":
            return Profile(rows=self.samples, features=self.features, outputs=1, kind="number")
        classes = self.classes or 2
        return Profile(
            rows=self.samples,
            features=self.features,
            outputs=classes,
            kind="class",
            classes=classes,
        )


def _source(value: Any) -> Any:
    return value.get("source") if isinstance(value, dict) else getattr(value, "source", None)


Data = Annotated[
    Annotated[InlineData, Tag("inline")]
    | Annotated[ExampleData, Tag("example")]
    | Annotated[SyntheticData, Tag("synthetic")],
    Discriminator(
        _source,
        custom_error_type="unknown_source",
        custom_error_message="an object whose source is one of inline, example, synthetic",
    ),
]


@cache
def example_names() -> tuple[str, ...]:
    """Names of the data sets that come with the service."""
    return tuple(sorted(path.stem for path in EXAMPLES.glob("*.csv")))


@cache
def _example_profile(name: str) -> Profile:
    told = json.loads((EXAMPLES / f"{name}.json").read_text())
    return Profile.model_validate({field: told[field] for field in Profile.model_fields})


def _width(target: float | Sequence[float]) -> int:
    """0 for a number, else the length of the row of numbers."""
    return len(target) if isinstance(target, Sequence) else 0


def _whole(targets: Sequence[float | Sequence[float]]) -> list[int] | None:
    """The targets as class numbers if all of them are whole numbers from 0 to 999, else None."""
    flat = [target for target in targets if not isinstance(target, Sequence)]
    if len(flat) < len(targets) or any(t != int(t) or not 0 <= t < 1000 for t in flat):
        return None
    return [int(target) for target in flat]
