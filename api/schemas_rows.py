"""Query and page about the rows of a job."""

from typing import Annotated, Literal

from pydantic import Field

from api.pagination import ListPage
from api.query import DECIMAL, Limit, Query


class JobRowsQuery(Query):
    """Which rows of a job, and which page of them."""

    split: Literal["training", "validation", "test"] | None = None
    """The rows to train on (the default), to validate on, or to test on, in their order."""
    tick: Annotated[int, Field(ge=1, le=10**15), DECIMAL] | None = None
    """Instead of a split: the rows of this tick's batch, in its order."""
    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] = 0
    """`next_after` of the page before: how many of them came before this page."""
    limit: Limit = 100


class JobRowsPage(ListPage[int]):
    """Numbers of rows from 1, as `/v1/datasets/{id}/rows` counts them; of a text, windows."""

    total: int = Field(description="rows of all pages")
