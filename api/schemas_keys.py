"""Bodies, queries and answers about access keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api.pagination import ListPage
from api.query import Limit, Query
from jobs.access_keys import KeyInfo, Scope, Tenant


def _check_unique_scopes(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("each scope once")
    return scopes


class KeyCreate(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tenant: Tenant = Field(description="whose jobs and datasets it opens")
    scopes: Annotated[
        list[Scope], Field(min_length=1, max_length=3), AfterValidator(_check_unique_scopes)
    ]
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class KeyWithSecret(KeyInfo):
    """The key, with its secret the one time it is shown."""

    secret: str | None = Field(
        None, description="shown once; absent when this idempotency key had made the key before"
    )


class KeyQuery(Query):
    """Which keys, and which page of them."""

    tenant: Tenant | None = None
    """This tenant's keys alone."""
    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the page before."""
    order: Literal["asc", "desc"] = "desc"


class KeyPage(ListPage[KeyInfo]):
    """Keys, newest first unless asked otherwise."""
