"""The `data` field of a spec: the source of a job's rows, and their profile.

Checks at submission read the profile, never the rows. Knows no tensor.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from jobs.spec.base import MAX_SEED, DatasetId, FieldError, Float32, SpecModel, StoredSeed
from jobs.spec.profiles import MAX_CLASSES, MAX_COLUMNS
from jobs.spec.text import TextFacts, Vocabulary
from models.strict_models import LimitErrors, StrictModel
from models.strict_numbers import INTEGRAL

#: example data sets: NAME.csv or NAME.txt, with the profile in NAME.json
EXAMPLES_FOLDER = Path(__file__).parents[2] / "examples" / "data"

#: of new specs; those of earlier builds may have larger ones
SEED_SCHEMA = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}

TargetKind = Literal["class", "number", "token"]
#: tokens per row of a text
Window = Annotated[int, Field(ge=1, le=65_536), INTEGRAL]
#: how a job may read a column
ReadAs = Literal["number", "category", "text", "datetime", "ignore"]
Row = Annotated[list[Float32], Field(min_length=1)]
#: of the rules by which a spec is read: defaults, splits, classes (`jobs/spec/stored.py`)
FIRST_REVISION, REVISION = 1, 3
#: from which rules of `stop` read the mean of the training losses since their last look, ...
MEAN_LOSS_REVISION = 3
#: ... a job that never had a finite loss fails
FINITE_LOSS_REVISION = 3
#: ... and held-out rows have all metrics, and not the loss and the accuracy alone
METRICS_REVISION = 3


class Profile(SpecModel):
    """The sizes that a job's net must fit, for any source of data: rows, features, outputs.

    For a text (kind `token`) rows are windows, features the tokens of one, outputs the vocabulary.
    """

    rows: int
    features: int
    outputs: int
    kind: TargetKind
    classes: int | None = None
    text: TextFacts | None = None

    def with_vocabulary(self, vocabulary: Vocabulary) -> "Profile":
        """Return the profile of a text in tokens of `vocabulary`; of a table, this profile."""
        if self.text is None:
            return self
        return text_profile(self.text, self.features, vocabulary)


def text_profile(text: TextFacts, window: int, vocabulary: Vocabulary = "bytes") -> Profile:
    """Build the profile of a text in windows of `window` tokens; 0 rows if it is too short."""
    rows, outputs = text.count_rows(window, vocabulary), text.count_distinct(vocabulary)
    return Profile(rows=rows, features=window, outputs=outputs, kind="token", text=text)


class InlineData(StrictModel):
    """Rows in the request body. A target is a number or a row of numbers; for cross_entropy, a
    class: a whole number. The different ones are the classes, in their order."""

    source: Literal["inline"]
    inputs: Annotated[list[Row], Field(min_length=1), LimitErrors(rows=True)]
    targets: Annotated[list[Float32 | Row], Field(min_length=1), LimitErrors(rows=True)]
    standardize: bool = False
    """Scale features by mean and deviation of the training rows."""
    standardize_target: bool = False
    """Scale targets that are numbers likewise; losses are those of the scaled targets."""
    shuffle: bool = True
    drop_last: bool = False
    """Leave out an epoch's last batch where it has fewer rows than the others."""

    def find_errors(self) -> Iterator[FieldError]:
        """Yield errors between the rows."""
        width = len(self.inputs[0])
        ragged = [at for at, row in enumerate(self.inputs) if len(row) != width]
        for at in ragged[:10]:
            rule = f"a row of {width} numbers like the first"
            yield FieldError(f"/data/inputs/{at}", rule, self.inputs[at])
        if len(self.targets) != len(self.inputs):
            rule = f"one target a row: {len(self.inputs)}"
            yield FieldError("/data/targets", rule, f"{len(self.targets)} targets")
        first = _width(self.targets[0])
        mismatched = [at for at, target in enumerate(self.targets) if _width(target) != first]
        for at in mismatched[:10]:
            rule = "a target of the first one's form"
            yield FieldError(f"/data/targets/{at}", rule, self.targets[at])

    def profile(self, objective: str | None, revision: int) -> Profile:
        """Build the profile of data without errors."""
        rows, features = len(self.inputs), len(self.inputs[0])
        classes = self.class_numbers(revision) if objective == "cross_entropy" else None
        if classes is None:
            outputs = _width(self.targets[0]) or 1
            return Profile(rows=rows, features=features, outputs=outputs, kind="number")
        outputs = len(classes)
        return Profile(rows=rows, features=features, outputs=outputs, kind="class", classes=outputs)

    def class_numbers(self, revision: int) -> list[int] | None:
        """Return the classes, sorted: the different targets; None if they cannot be classes.

        In the first revision of specs these were all numbers up to the largest target.
        """
        numbers = _whole_numbers(self.targets)
        if numbers is None:
            return None
        if revision == FIRST_REVISION:
            is_valid = min(numbers) >= 0 and max(numbers) < MAX_CLASSES
            return list(range(max(2, max(numbers) + 1))) if is_valid else None
        return sorted(numbers) if len(numbers) >= 2 else None


class ExampleData(StrictModel):
    """An example data set that comes with the service: a table, or a text."""

    source: Literal["example"]
    name: str
    window: Window | None = None
    """Tokens per row; required for a text, null for a table."""
    shuffle: bool = True
    drop_last: bool = False
    """Leave out an epoch's last batch where it has fewer rows than the others."""

    def find_errors(self) -> Iterator[FieldError]:
        """Yield errors of name and window."""
        if self.name in example_names():
            is_text = _example_profile(self.name).text is not None
            yield from find_window_errors(self.window, is_text=is_text)
        else:
            yield FieldError("/data/name", "one of " + ", ".join(example_names()), self.name)

    def profile(self, objective: str | None, revision: int) -> Profile:
        """Read the profile from the file beside the data."""
        profile = _example_profile(self.name)
        return profile if profile.text is None else text_profile(profile.text, self.window or 1)


def find_window_errors(window: int | None, *, is_text: bool) -> Iterator[FieldError]:
    """Yield the error of a text without a window, or of a table with one."""
    if is_text and window is None:
        rule = "needed for a text: the tokens of one row, 1 to 65536"
        yield FieldError("/data/window", rule, None)
    if window is not None and not is_text:
        rule = "null: these data are a table, which has no windows"
        yield FieldError("/data/window", rule, window)


class DatasetData(StrictModel):
    """An uploaded dataset: a table with columns, an NPZ file with arrays, or a text in windows."""

    source: Literal["dataset"]
    id: DatasetId
    target: str | None = None
    """The column to predict; required for a table, null otherwise."""
    features: Annotated[list[str], Field(min_length=1), LimitErrors()] | None = None
    """The columns to predict it from; null: all others."""
    exclude: Annotated[list[str], LimitErrors()] = []
    """Columns to leave out, where `features` is null."""
    types: Annotated[dict[str, ReadAs], LimitErrors()] = {}
    """Columns to read as another type than their own, such as whole numbers as a category."""
    missing: Literal["error", "drop", "mean", "median", "category"] = "error"
    """What is done about gaps in the columns used: refuse the job, drop their rows, fill numbers
    with the mean or median of the training rows (and tell the net by an input of 0 or 1), or make
    the gap of a category a class (mean and median do that as well)."""
    unseen: Literal["error", "ignore"] = "error"
    """What is done about classes of a category that only a second dataset has: refuse the job, or
    set all inputs of the column to 0."""
    standardize: bool = True
    """Scale number features by mean and deviation of the training rows."""
    standardize_target: bool | None = None
    """Scale targets that are numbers likewise; losses are those of the scaled targets, predictions
    are in the target's own units. null: true for numbers, false for classes."""
    window: Window | None = None
    """Tokens per row; required for a text, null otherwise."""
    shuffle: bool = True
    drop_last: bool = False
    """Leave out an epoch's last batch where it has fewer rows than the others."""

    def find_errors(self) -> Iterator[FieldError]:
        """Yield errors between the fields."""
        fields = {"features": self.features or [], "exclude": self.exclude, "types": self.types}
        for field, names in fields.items():
            if len(names) > MAX_COLUMNS:
                rule = f"at most {MAX_COLUMNS:,} names: a dataset has no more columns"
                yield FieldError(f"/data/{field}", rule, f"{len(names):,} names")
        used = {self.target}
        for at, name in enumerate(fields["features"]):
            if name in used:
                rule = "each column once, and not the target"
                yield FieldError(f"/data/features/{at}", rule, name)
            used.add(name)
        for at, name in enumerate(self.exclude):
            if name in used:
                rule = "a column that is neither the target nor among the features"
                yield FieldError(f"/data/exclude/{at}", rule, name)


class SyntheticData(StrictModel):
    """Rows drawn from a seed: `regression` (normal inputs, a linear target with noise),
    `classification` (normal clouds around one centre per class) or `sequence` (a text of letters,
    a repeating pattern with noise; `samples` windows of `features` tokens)."""

    source: Literal["synthetic"]
    kind: Literal["regression", "classification", "sequence"]
    samples: Annotated[int, Field(ge=1, le=10_000_000), INTEGRAL] = 1000
    features: Annotated[int, Field(ge=1, le=65_536), INTEGRAL] = 10
    classes: Annotated[int, Field(ge=2, le=1000), INTEGRAL] | None = None
    seed: Annotated[StoredSeed, WithJsonSchema(SEED_SCHEMA)] = 0
    shuffle: bool = True
    drop_last: bool = False
    """Leave out an epoch's last batch where it has fewer rows than the others."""

    def find_errors(self) -> Iterator[FieldError]:
        """Yield errors between the fields."""
        if self.kind != "classification" and self.classes is not None:
            yield FieldError("/data/classes", "null but for a classification", self.classes)
        if self.seed > MAX_SEED:
            yield FieldError("/data/seed", f"at most {MAX_SEED}: 32 bits are read", self.seed)
        if self.samples * self.features > 1_000_000_000:
            rule = "samples × features of at most 1,000,000,000"
            yield FieldError("/data/samples", rule, self.samples)

    def profile(self, objective: str | None, revision: int) -> Profile:
        """Build the profile."""
        if self.kind == "regression":
            return Profile(rows=self.samples, features=self.features, outputs=1, kind="number")
        if self.kind == "sequence":
            tokens = self.samples * self.features + 1
            facts = TextFacts(bytes=tokens, characters=tokens, vocabulary=list(ascii_lowercase))
            return text_profile(facts, self.features)
        rows, features, classes = self.samples, self.features, self.classes or 2
        return Profile(rows=rows, features=features, outputs=classes, kind="class", classes=classes)


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
    """Return the names of the example data sets, sorted."""
    return tuple(sorted(path.stem for path in EXAMPLES_FOLDER.glob("*.json")))


@cache
def _example_profile(name: str) -> Profile:
    document = json.loads((EXAMPLES_FOLDER / f"{name}.json").read_text())
    if "text" in document:
        return text_profile(TextFacts.model_validate(document["text"]), 1)
    profile_fields = {field: document[field] for field in Profile.model_fields if field in document}
    return Profile.model_validate(profile_fields)


def _width(target: float | Sequence[float]) -> int:
    """Return 0 for a number, else the length of the row of numbers."""
    return len(target) if isinstance(target, Sequence) else 0


def _whole_numbers(targets: Sequence[float | Sequence[float]]) -> set[int] | None:
    """Return the different targets if all are whole and at most MAX_CLASSES, else None.

    It ends where there are more: numbers can be chosen whose hashes are equal, and then each one
    would be compared with all others.
    """
    numbers = set[int]()
    for target in targets:
        if isinstance(target, Sequence) or target != int(target):
            return None
        numbers.add(int(target))
        if len(numbers) > MAX_CLASSES:
            return None
    return numbers
