"""Bodies, queries and responses about webhooks and their deliveries."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from api.pagination import ListPage
from api.query import Limit, Query
from jobs.spec.about import Labels
from jobs.spec.notify import URL_SCHEMA, parse_url
from jobs.webhooks.delivery import DeliveryInfo
from jobs.webhooks.webhook import ANY_EVENT, EVENT_TYPES, EventType, Format, WebhookInfo
from models.strict_models import LimitErrors, StrictModel


def _check_url(url: str) -> str:
    parse_url(url)
    return url


def _check_events(events: list[str]) -> list[str]:
    if len(set(events)) < len(events) or ANY_EVENT in events and len(events) > 1:
        raise ValueError('each once; ["*"] alone for all')
    return events


Url = Annotated[str, AfterValidator(_check_url), WithJsonSchema(URL_SCHEMA)]
Events = Annotated[
    list[Literal[EventType, "*"]],
    Field(min_length=1, max_length=len(EVENT_TYPES)),
    AfterValidator(_check_events),
    LimitErrors(),
]
WebhookName = Annotated[str, StringConstraints(max_length=200)]


class WebhookCreate(StrictModel):
    """A new webhook."""

    url: Url
    events: Events
    labels: Labels = {}
    """Only jobs with all of these labels."""
    name: WebhookName = ""
    format: Format = "standard"


def _drop_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


#: the default of a field that may be left out, but not null: it is in `model_fields_set` if given
LEFT_OUT: Any = Field(None, json_schema_extra=_drop_default)


class WebhookPatch(StrictModel):
    """Changes of a webhook. An omitted field stays as it is; lists and labels are replaced."""

    url: Url = LEFT_OUT
    events: Events = LEFT_OUT
    labels: Labels = LEFT_OUT
    name: WebhookName = LEFT_OUT
    format: Format = LEFT_OUT
    enabled: bool = LEFT_OUT
    rotate: bool = False
    """true: a new secret, shown once; the one before it signs too for 24 hours."""


class WebhookWithSecret(WebhookInfo):
    """A webhook, with its secret where the request made it."""

    secret: str | None = Field(
        None, description="whsec_…; shown only once, by the request that made it"
    )


class WebhookQuery(Query):
    """A page of a list of webhooks or deliveries."""

    limit: Limit = 100
    after: Annotated[str, Field(max_length=200)] | None = None
    """`next_after` of the previous page."""
    order: Literal["asc", "desc"] = "desc"


class WebhookPage(ListPage[WebhookInfo]):
    """Webhooks, newest first unless asked otherwise."""


class DeliveryPage(ListPage[DeliveryInfo]):
    """Deliveries, newest first unless asked otherwise."""
