"""What a trainer needs of a spec's uploaded datasets, derived from their profiles at submission.

It is stored with the spec, so that a trainer needs no store; clients neither see nor send it.
"""

import json
from collections.abc import Mapping
from functools import cached_property

from jobs.spec.base import SpecModel
from jobs.spec.data import Profile, text_profile
from jobs.spec.profiles import Delimiter, MediaType, ParseOptions
from jobs.spec.text import TextFacts


class DataPart(SpecModel):
    """A file with some of a dataset's bytes."""

    path: str
    """Relative to the artifacts' root."""
    sha256: str
    bytes: int


class DataFile(SpecModel):
    """The file of an uploaded dataset, and how a trainer reads it."""

    path: str
    """Relative to the artifacts' root; of an appended dataset that of its last part."""
    parts: list[DataPart] = []
    """The files whose bytes, one after another, are an appended dataset; none of another one."""
    sha256: str
    bytes: int
    type: MediaType
    delimiter: Delimiter = "comma"
    options: ParseOptions = ParseOptions()
    rows: int = 0
    dropped_rows: int = 0
    """Rows that the job leaves out since a column it uses has a gap there."""
    text: TextFacts | None = None

    @property
    def parse_options(self) -> ParseOptions:
        """How its bytes are read; records of earlier builds have a delimiter alone."""
        return self.options.model_copy(update={"delimiter": self.delimiter})

    @property
    def used_rows(self) -> int:
        """Rows that the job uses."""
        return self.rows - self.dropped_rows


def read_parts(fields: Mapping[str, str]) -> list[DataPart]:
    """Return the files of a dataset by its record: one, or the parts of an appended one."""
    if "parts" in fields:
        return [DataPart.model_validate(part) for part in json.loads(fields["parts"])]
    return [DataPart(path=fields["path"], sha256=fields["sha256"], bytes=int(fields["bytes"]))]


#: the class of a gap in a category; no cell that is not missing is spelled like that
GAP_CLASS = ""


class ClassNames(SpecModel):
    """The classes of a column in order: texts, or whole numbers as decimal texts."""

    names: list[str]
    numbers: bool = False
    """Whether a cell belongs to the class of its value rather than of its text."""


class DatasetBinding(SpecModel):
    """The uploaded datasets of one spec: files, and the inputs and targets that columns become.

    A row's features are its numbers (times among them), for each of `gaps` one input that is 1
    where the number is missing, and for each category one input per class.
    """

    data: DataFile
    validation: DataFile | None = None
    test: DataFile | None = None
    left_out: list[str] = []
    """Columns beside the target that are no features, where the spec names no features."""
    numbers: int = 0
    """How many features are numbers or times."""
    times: list[str] = []
    """Those that are times, and the target if it is one."""
    gaps: list[str] = []
    """Those that have gaps, which are filled."""
    categories: dict[str, ClassNames] = {}
    """Features that are categories, by column."""
    target: ClassNames | None = None
    """The classes of the target; null if it is numbers."""
    outputs: int = 1
    """Numbers per target, if it has no classes."""
    held_out_rows: int | None = None
    """Rows that a validation by groups holds out; null where the fraction alone tells."""
    test_rows: int | None = None
    """Rows that a test by groups holds out; null where the fraction alone tells."""
    target_statistics: list[list[float]] = []
    """Mean and deviation of each number of a target, over all rows."""
    notes: list[str] = []
    """What is doubtful about the columns used, and how the target is read."""

    @cached_property
    def time_names(self) -> frozenset[str]:
        """`times`, to look names up in."""
        return frozenset(self.times)

    @cached_property
    def gap_names(self) -> frozenset[str]:
        """`gaps`, to look names up in."""
        return frozenset(self.gaps)

    @property
    def features(self) -> int:
        """Inputs of a net per row."""
        classes = sum(len(category.names) for category in self.categories.values())
        return self.numbers + len(self.gaps) + classes

    def profile(self, window: int | None) -> Profile:
        """Build the profile that rules and nets read; a text's tokens are bytes at first."""
        if self.data.text is not None:
            return text_profile(self.data.text, window or 1)
        classes = None if self.target is None else len(self.target.names)
        return Profile(
            rows=self.data.used_rows,
            features=self.features,
            outputs=classes or self.outputs,
            kind="number" if classes is None else "class",
            classes=classes,
        )
