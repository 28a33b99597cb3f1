"""What a trainer must know of the datasets of a spec, derived from their profiles at submission.

It is stored with the spec, so that the trainer asks nobody; clients neither see nor send it.
"""

from jobs.spec.base import SpecModel
from jobs.spec.data import Profile, text_profile
from jobs.spec.profiles import Delimiter, MediaType
from jobs.spec.text import TextFacts


class DataFile(SpecModel):
    """Where the bytes of a dataset lie and how they are read."""

    path: str
    """Of the file, below the folder of artifacts."""
    sha256: str
    bytes: int
    type: MediaType
    delimiter: Delimiter = "comma"
    rows: int = 0
    text: TextFacts | None = None


class ClassNames(SpecModel):
    """The classes of a column in their order: texts, or whole numbers spelled as such."""

    names: list[str]
    numbers: bool = False


class DatasetBinding(SpecModel):
    """The datasets of a spec, and what their columns become.

    The features of a row are its number columns and, for each category, one input a class.
    """

    data: DataFile
    validation: DataFile | None = None
    numbers: int = 0
    """Features that are numbers."""
    categories: dict[str, ClassNames] = {}
    """Features that are categories."""
    target: ClassNames | None = None
    """The classes of the target; null where it is numbers."""
    outputs: int = 1
    """Numbers of a target that is no class."""

    @property
    def features(self) -> int:
        """Inputs of a net for one row."""
        return self.numbers + sum(len(category.names) for category in self.categories.values())

    def profile(self, window: int | None) -> Profile:
        """Derive what rules and nets need to know; a text's tokens are bytes at first."""
        if self.data.text is not None:
            return text_profile(self.data.text, window or 1)
        classes = None if self.target is None else len(self.target.names)
        return Profile(
            rows=self.data.rows,
            features=self.features,
            outputs=classes or self.outputs,
            kind="number" if classes is None else "class",
            classes=classes,
        )
