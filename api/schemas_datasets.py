"""Queries and pages about datasets."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.pagination import ListPage
from api.query import DECIMAL, Limit, Query
from jobs.datasets.dataset import Dataset
from jobs.spec.profiles import Decimal, Delimiter, Header, Thousands

MAX_NAME_CHARACTERS = 200
MAX_MISSING_TOKENS, MAX_TOKEN_CHARACTERS = 100, 100


MissingToken = Annotated[str, Field(max_length=MAX_TOKEN_CHARACTERS)]
ArrayName = Annotated[str, Field(min_length=1, max_length=200)]


class UploadQuery(Query):
    """Name of an upload, and how its bytes are read. An option is for some media types alone."""

    name: Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)] = ""
    """For display; by default the name of a form's file. The same bytes keep their first name."""
    delimiter: Delimiter | None = None
    """Separator of the fields of a CSV: `comma`, and `tab` for text/tab-separated-values."""
    header: Header | None = None
    """`absent`: no row of a CSV names its columns (`c1`, `c2`, …). Default: as the media type."""
    decimal: Decimal = "point"
    """The sign before the fraction of a number in a CSV."""
    thousands: Thousands = "none"
    """The sign between groups of three digits of a number in a CSV."""
    missing: Annotated[list[MissingToken], Field(max_length=MAX_MISSING_TOKENS)] = []
    """Cells of a table that mean a missing value, beside those of the documented list."""
    inputs: ArrayName = "inputs"
    """The array of an NPZ file that holds the inputs."""
    targets: ArrayName = "targets"
    """The array of an NPZ file that holds the targets."""


class AppendQuery(Query):
    """Name of what an append makes; its bytes are read as those of its parent."""

    name: Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)] = ""
    """For display; by default that of the parent."""


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
