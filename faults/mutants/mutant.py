"""A mutant as a value: what is changed, and which tests must fail then; it edits a tree."""

from dataclasses import dataclass
from pathlib import Path


class EditNotApplicable(Exception):
    """A text to be replaced is not in its file exactly once: the code has moved on."""


@dataclass(frozen=True)
class Edit:
    """One text of one file, replaced by another."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Edit the file below `root`."""
        path = root / self.file
        text = path.read_text()
        if (times := text.count(self.old)) != 1:
            raise EditNotApplicable(
                f"{self.file} has this text {times} times, not once: {self.old!r}"
            )
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Mutant:
    """A promise broken by a few edits, and the tests that must see it.

    A `quick` one is tried by every run of the test suite, the others by `make mutants`.
    """

    name: str
    breaks: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    quick: bool = False

    def apply(self, root: Path) -> None:
        """Put the fault into the tree below `root`."""
        for edit in self.edits:
            edit.apply(root)
