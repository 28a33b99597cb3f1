"""Pages of lists: {"data", "next_after", "has_more"}. Knows no kind of item."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from api.query import PageQuery
from jobs.store.cursor import Page

Item = TypeVar("Item")


class HasSequence(Protocol):
    """What lists are sorted by."""

    @property
    def sequence(self) -> int:
        """Its number among all submissions."""


Numbered = TypeVar("Numbered", bound=HasSequence)


class ListPage(BaseModel, Generic[Item]):
    """One page of a list, in the order of the request."""

    data: list[Item]
    next_after: str | None
    has_more: bool


class CompleteList(BaseModel, Generic[Item]):
    """A list that has one page only."""

    data: list[Item]
    next_after: None = None
    has_more: Literal[False] = False


def page_json(texts: Iterable[str], next_after: str | None = None) -> str:
    """Return the JSON of a page whose items are JSON already."""
    more = "false" if next_after is None else "true"
    return f'{{"data":[{",".join(texts)}],"next_after":{json.dumps(next_after)},"has_more":{more}}}'


def paginate(items: Sequence[tuple[int, BaseModel]], query: PageQuery) -> str:
    """Return the JSON of one page of a complete list of (number, item), in ascending order."""
    sign = -1 if query.order == "desc" else 1
    after = -math.inf if query.after is None else sign * query.after
    remaining = [(number, item) for number, item in items[::sign] if sign * number > after]
    page = remaining[: query.limit]
    next_after = str(page[-1][0]) if len(remaining) > len(page) else None
    return page_json((item.model_dump_json() for _, item in page), next_after)


def merge_pages(pages: Sequence[Page[Numbered]], limit: int, *, descending: bool) -> Page[Numbered]:
    """Merge pages of lists in one order into their first `limit` items.

    A page that goes on knows nothing beyond its cursor, so nor does the merged one.
    """
    if len(pages) == 1:
        return pages[0]
    cursors = [int(page.next_after) for page in pages if page.next_after is not None]
    sign = -1 if descending else 1
    edge = min((sign * cursor for cursor in cursors), default=math.inf)
    items = sorted((item for page in pages for item in page.data), key=lambda i: sign * i.sequence)
    known = [item for item in items if sign * item.sequence <= edge]
    if len(known) > limit:
        return Page(known[:limit], str(known[limit - 1].sequence))
    return Page(known, str(sign * int(edge)) if cursors else None)
