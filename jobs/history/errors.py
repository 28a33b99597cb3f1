"""What can be wrong with a question about a history, or with the history itself."""


class UnknownColumn(ValueError):
    """Columns were asked for that this job does not record; `recorded` are those that it does."""

    def __init__(self, columns: list[str], recorded: list[str]) -> None:
        super().__init__(f"not recorded: {', '.join(columns)}; recorded are {', '.join(recorded)}")
        self.columns, self.recorded = columns, recorded


class UnsupportedColumn(ValueError):
    """A recorded column was asked for in a form that it does not have."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column!r} {reason}")
        self.column = column


class DamagedHistory(Exception):
    """A part of an accepted history is not where it must be, or not as long as it must be."""
