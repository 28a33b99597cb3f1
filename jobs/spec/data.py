"""Where a job's rows come from, and what is known of them without looking at them again.

The profile is what every check at submission reads. Knows no tensor.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from jobs.spec.base import Float32, Seed, SpecModel
from jobs.spec.text import TextFacts, Vocabulary
from models.strict_numbers import INTEGRAL

#: small real data sets that come with the service: NAME.csv or NAME.txt, its profile NAME.json
EXAMPLES_FOLDER = Path(__file__).parents[2] / "examples" / "data"

TargetKind = Literal["class", "number", "token"]
#: tokens of one row of a text
Window = Annotated[int, Field(ge=1, le=65_536), INTEGRAL]
Row = Annotated[list[Float32], Field(min_length=1)]
DatasetId = Annotated[str, Field(pattern=r"^ds_[a-z0-9]{26}$")]


class Profile(SpecModel):
    """What is known of a job's data: rows, features a row, outputs a net must have for it.

    Of a text (kind `token`) rows are windows, features the tokens of one, outputs the vocabulary.
    """

    rows: int
    features: int
    outputs: int
    kind: TargetKind
    classes: int | None = None
    text: TextFacts | None = None

    def with_vocabulary(self, vocabulary: Vocabulary) -> "Profile":
        """Give the profile of the same text in other tokens; of a table, this one."""
        if self.text is None:
            return self
        return text_profile(self.text, self.features, vocabulary)


def text_profile(text: TextFacts, window: int, vocabulary: Vocabulary = "bytes") -> Profile:
    """Derive what is known of a text cut into windows; 0 rows where it is too short for one."""
    rows, outputs = text.count_rows(window, vocabulary), text.count_distinct(vocabulary)
    return Profile(rows=rows, features=window, outputs=outputs, kind="token", text=text)


class InlineData(SpecModel):
    """Rows in the body itself. A target is a number or a row of numbers; the objective
    cross_entropy takes whole numbers from 0 on as classes."""

    source: Literal["inline"]
    inputs: Annotated[list[Row], Field(min_length=1)]
    targets: Annotated[list[Float32 | Row], Field(min_length=1)]
    shuffle: bool = True

    def find_errors(self) -> list[tuple[str, str, Any]]:
        """What is wrong between the rows: (pointer below /data, rule, value)."""
        errors: list[tuple[str, str, Any]] = []
        width = len(self.inputs[0])
        ragged = [at for at, row in enumerate(self.inputs) if len(row) != width]
        for at in ragged[:10]:
            errors.append(
                (f"/inputs/{at}", f"a row of {width} numbers like the first", self.inputs[at])
            )
        if len(self.targets) != len(self.inputs):
            rule = f"one target a row: {len(self.inputs)}"
            errors.append(("/targets", rule, f"{len(self.targets)} targets"))
        first = _width(self.targets[0])
        mismatched = [at for at, target in enumerate(self.targets) if _width(target) != first]
        for at in mismatched[:10]:
            errors.append((f"/targets/{at}", "a target of the first one's form", self.targets[at]))
        return errors

    def profile(self, objective: str | None) -> Profile:
        """Derive what is known; only of data without faults."""
        rows, features = len(self.inputs), len(self.inputs[0])
        numbers = _class_numbers(self.targets) if objective == "cross_entropy" else None
        if numbers is None:
            outputs = _width(self.targets[0]) or 1
            return Profile(rows=rows, features=features, outputs=outputs, kind="number")
        classes = max(2, max(numbers) + 1)
        return Profile(rows=rows, features=features, outputs=classes, kind="class", classes=classes)


class ExampleData(SpecModel):
    """One of the small real data sets that come with the service: a table, or a text."""

    source: Literal["example"]
    name: str
    window: Window | None = None
    """Tokens of one row; for a text, and only for one."""
    shuffle: bool = True

    def find_errors(self) -> list[tuple[str, str, Any]]:
        """An unknown name, a window too few or too many: (pointer below /data, rule, value)."""
        if self.name not in example_names():
            return [("/name", "one of " + ", ".join(example_names()), self.name)]
        return find_window_errors(self.window, is_text=_example_profile(self.name).text is not None)

    def profile(self, objective: str | None) -> Profile:
        """Read what is known from the file beside the data."""
        profile = _example_profile(self.name)
        return profile if profile.text is None else text_profile(profile.text, self.window or 1)


def find_window_errors(window: int | None, *, is_text: bool) -> list[tuple[str, str, Any]]:
    """A text without a window, or a table with one: (pointer below /data, rule, value)."""
    if is_text and window is None:
        return [("/window", "needed for a text: the tokens of one row, 1 to 65536", None)]
    if window is not None and not is_text:
        return [("/window", "null: these data are a table, which has no windows", window)]
    return []


class DatasetData(SpecModel):
    """An uploaded dataset: a table by columns, an NPZ file by its arrays, or a text by windows."""

    source: Literal["dataset"]
    id: DatasetId
    target: str | None = None
    """The column to be predicted; needed for a table, and only for one."""
    features: Annotated[list[str], Field(min_length=1)] | None = None
    """The columns it is predicted from; null: every other one."""
    types: dict[str, Literal["number", "category"]] = {}
    """Columns that are to be read as another type: whole numbers as a category."""
    standardize: bool = True
    """Number features by mean and deviation of the training rows."""
    window: Window | None = None
    """Tokens of one row; for a text, and only for one."""
    shuffle: bool = True

    def find_errors(self) -> list[tuple[str, str, Any]]:
        """What does not fit between the fields: (pointer below /data, rule, value)."""
        names = self.features or []
        return [
            (f"/features/{at}", "each column once, and not the target", name)
            for at, name in enumerate(names)
            if name == self.target or name in names[:at]
        ]


class SyntheticData(SpecModel):
    """Rows drawn from a seed: `regression` (normal inputs, a linear target with noise),
    `classification` (normal clouds around one centre a class) or `sequence` (a text of letters, a
    repeating pattern with noise; `samples` windows of `features` tokens)."""

    source: Literal["synthetic"]
    kind: Literal["regression", "classification", "sequence"]
    samples: Annotated[int, Field(ge=1, le=10_000_000), INTEGRAL] = 1000
    features: Annotated[int, Field(ge=1, le=65_536), INTEGRAL] = 10
    classes: Annotated[int, Field(ge=2, le=1000), INTEGRAL] | None = None
    seed: Seed = 0
    shuffle: bool = True

    def find_errors(self) -> list[tuple[str, str, Any]]:
        """What does not fit between the fields: (pointer below /data, rule, value)."""
        errors: list[tuple[str, str, Any]] = []
        if self.kind != "classification" and self.classes is not None:
            errors.append(("/classes", "null but for a classification", self.classes))
        if self.samples * self.features > 1_000_000_000:
            rule = "samples × features of at most 1,000,000,000"
            errors.append(("/samples", rule, self.samples))
        return errors

    def profile(self, objective: str | None) -> Profile:
        """Derive what is known."""
        if self.kind == "regression":
            return Profile(rows=self.samples, features=self.features, outputs=1, kind="number")
        if self.kind == "sequence":
            tokens = self.samples * self.features + 1
            facts = TextFacts(bytes=tokens, characters=tokens, vocabulary=list(ascii_lowercase))
            return text_profile(facts, self.features)
        classes = self.classes or 2
        return Profile(
            rows=self.samples,
            features=self.features,
            outputs=classes,
            kind="class",
            classes=classes,
        )


def _source_of(value: Any) -> Any:
    return value.get("source") if isinstance(value, dict) else getattr(value, "source", None)


Data = Annotated[
    Annotated[InlineData, Tag("inline")]
    | Annotated[ExampleData, Tag("example")]
    | Annotated[SyntheticData, Tag("synthetic")]
    | Annotated[DatasetData, Tag("dataset")],
    Discriminator(
        _source_of,
        custom_error_type="unknown_source",
        custom_error_message="an object whose source is one of inline, example, synthetic, dataset",
    ),
]


@cache
def example_names() -> tuple[str, ...]:
    """Names of the data sets that come with the service."""
    return tuple(sorted(path.stem for path in EXAMPLES_FOLDER.glob("*.json")))


@cache
def _example_profile(name: str) -> Profile:
    document = json.loads((EXAMPLES_FOLDER / f"{name}.json").read_text())
    if "text" in document:
        return text_profile(TextFacts.model_validate(document["text"]), 1)
    profile_fields = {field: document[field] for field in Profile.model_fields if field in document}
    return Profile.model_validate(profile_fields)


def _width(target: float | Sequence[float]) -> int:
    """0 for a number, else the length of the row of numbers."""
    return len(target) if isinstance(target, Sequence) else 0


def _class_numbers(targets: Sequence[float | Sequence[float]]) -> list[int] | None:
    """The targets as class numbers if all of them are whole numbers from 0 to 999, else None."""
    flat = [target for target in targets if not isinstance(target, Sequence)]
    if len(flat) < len(targets) or any(t != int(t) or not 0 <= t < 1000 for t in flat):
        return None
    return [int(target) for target in flat]
