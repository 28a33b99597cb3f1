"""A mutant as a value: its edits, and the tests that must fail with them."""

from dataclasses import dataclass
from pathlib import Path


class EditNotApplicable(Exception):
    """The text to be replaced is not in its file exactly once: the code has changed."""


@dataclass(frozen=True)
class Edit:
    """One text of one file, and its replacement."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Edit the file below `root`. Raises EditNotApplicable."""
        path = root / self.file
        text = path.read_text()
        if (times := text.count(self.old)) != 1:
            message = f"{self.file} has this text {times} times, not once: {self.old!r}"
            raise EditNotApplicable(message)
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Mutant:
    """A promise that a few edits break, and the tests that must see it.

    A `quick` one, a few of each kind, is tried by every run of the test suite, the others by
    `make mutants`.
    """

    name: str
    breaks: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    quick: bool = False

    def apply(self, root: Path) -> None:
        """Apply all edits to the tree below `root`."""
        for edit in self.edits:
            edit.apply(root)


def edit_once(file: str, old: str, new: str) -> tuple[Edit, ...]:
    """Return the edits of a mutant that has one."""
    return (Edit(file, old, new),)
