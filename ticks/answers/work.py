"""What answers have in common: work that is done in steps, and how it is refused."""

from collections.abc import Generator
from typing import Any, NamedTuple, TypedDict

JsonDict = dict[str, Any]

MAX_ERRORS = 100  # that a refusal tells; its last one says that there are others
MAX_VALUE_CHARACTERS = 200  # of a refused value


class Progress(NamedTuple):
    """How many rows or tokens are done, and of how many; None where that is not known."""

    done: int
    total: int | None = None


#: yields after each step of some milliseconds, and returns the result; its bits do not depend on
#: what happens between two steps
Work = Generator[Progress, None, JsonDict]


class RequestError(TypedDict):
    """A fault of a request: where it is (a JSON pointer), the rule, and the value."""

    pointer: str
    detail: str
    value: Any


class RefusedRequest(Exception):
    """The net cannot answer such a request: the first MAX_ERRORS of its errors."""

    def __init__(self, errors: list[RequestError]) -> None:
        super().__init__(errors[0]["detail"])
        self.errors = errors
        if len(errors) > MAX_ERRORS:
            self.errors = [*errors[:MAX_ERRORS], request_error("", "there are more errors")]


def request_error(pointer: str, detail: str, value: object = None) -> RequestError:
    """Return an error; a long value is shown by its beginning."""
    is_long = len(text := str(value)) > MAX_VALUE_CHARACTERS
    shown = text[:MAX_VALUE_CHARACTERS] + "…" if is_long else value
    return RequestError(pointer=pointer, detail=detail, value=shown)


def refuse(pointer: str, detail: str, value: object = None) -> RefusedRequest:
    """Return a refusal with one error."""
    return RefusedRequest([request_error(pointer, detail, value)])


def escape_pointer(name: str) -> str:
    """Return a name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
