"""Pages of lists: {"data", "next_after", "has_more"}. Knows no kind of item."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

from api.query import PageQuery

Item = TypeVar("Item")


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
