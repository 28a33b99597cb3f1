"""Queries and pages about datasets."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.pagination import ListPage
from api.query import DECIMAL, Limit, Query
from jobs.datasets.dataset import Dataset
from jobs.spec.profiles import Delimiter


class UploadQuery(Query):
    """Name and format of an upload."""

    name: Annotated[str, Field(max_length=200)] = ""
    """For display. Uploading the same bytes again does not change it."""
    delimiter: Delimiter = "comma"
    """Separator of the fields of a CSV."""


class DatasetQuery(Query):
    """Page of a list of datasets."""

    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the previous page."""
    order: Literal["asc", "desc"] = "desc"


class RowsQuery(Query):
    """Range of rows."""

    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] = 0
    """Rows after this one; the first row is 1."""
    limit: Limit = 100


class DatasetPage(ListPage[Dataset]):
    """Datasets, newest first unless asked otherwise."""


class RowPage(ListPage[dict[str, Any]]):
    """Rows in their order: an object by column names, or `inputs` and `targets`."""
