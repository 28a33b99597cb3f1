"""Bodies, queries and responses about access keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api.pagination import ListPage
from api.query import Limit, Query
from jobs.access_keys import KeyInfo, Scope, Tenant
from models.strict_models import StrictModel


def _check_unique_scopes(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("each scope once")
    return scopes


class KeyCreate(StrictModel):
    """A new key."""

    tenant: Tenant = Field(description="whose jobs and datasets the key gives access to")
    scopes: Annotated[
        list[Scope], Field(min_length=1, max_length=3), AfterValidator(_check_unique_scopes)
    ]
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class KeyWithSecret(KeyInfo):
    """A new key with its secret."""

    secret: str | None = Field(
        None, description="shown only once; absent if the key was created by an earlier request"
    )


class KeyQuery(Query):
    """Filter and page of a list of keys."""

    tenant: Tenant | None = None
    """Only keys of this tenant."""
    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the previous page."""
    order: Literal["asc", "desc"] = "desc"


class KeyPage(ListPage[KeyInfo]):
    """Keys, newest first unless asked otherwise."""
