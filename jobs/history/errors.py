"""Errors of a query for a history, and of the history itself."""


class UnknownColumn(ValueError):
    """Columns were requested that the job does not record; `recorded` are those that it does."""

    def __init__(self, columns: list[str], recorded: list[str]) -> None:
        super().__init__(f"not recorded: {', '.join(columns)}; recorded are {', '.join(recorded)}")
        self.columns, self.recorded = columns, recorded


class UnsupportedColumn(ValueError):
    """A recorded column was requested in a form that it does not have."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column!r} {reason}")
        self.column = column


class DamagedHistory(Exception):
    """A part of an accepted history is not what was recorded; `files` names what is damaged."""

    def __init__(self, detail: str, *files: str) -> None:
        super().__init__(detail)
        self.files = list(files)
