"""Queries and pages of datasets."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.pagination import ListPage
from api.query import DECIMAL, Limit, Query
from jobs.datasets.dataset import Dataset
from jobs.spec.profiles import Delimiter


class UploadQuery(Query):
    """What is said about an upload."""

    name: Annotated[str, Field(max_length=200)] = ""
    """For people; the first upload of the same bytes names the dataset."""
    delimiter: Delimiter = "comma"
    """Between the fields of a CSV."""


class DatasetQuery(Query):
    """Which page of the datasets."""

    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the page before."""
    order: Literal["asc", "desc"] = "desc"


class RowsQuery(Query):
    """Which rows of a dataset."""

    after: Annotated[int, Field(ge=0, le=10**15), DECIMAL] = 0
    """Rows behind this one; the first row is 1."""
    limit: Limit = 100


class DatasetPage(ListPage[Dataset]):
    """Datasets, newest first unless asked otherwise."""


class RowPage(ListPage[dict[str, Any]]):
    """Rows in their order: an object by column names, or `inputs` and `targets`."""
