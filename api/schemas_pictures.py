"""Queries of pictures, and bodies about links to them."""

from typing import Annotated

from pydantic import BaseModel, Field

from api.query import DECIMAL, Flag, Query
from jobs.pictures import render
from models.strict_models import StrictModel
from models.strict_numbers import INTEGRAL

DAY_SECONDS = 86_400
DEFAULT_LINK_SECONDS, MAX_LINK_SECONDS = 7 * DAY_SECONDS, 90 * DAY_SECONDS


class CurveQuery(Query):
    """What a picture shows."""

    columns: Annotated[str, Field(max_length=200, pattern=r"^[a-z0-9_]+(,[a-z0-9_]+)?$")] = "loss"
    """One or two names, with a comma between."""
    points: Annotated[int, Field(ge=1, le=render.MAX_POINTS), DECIMAL] | None = None
    """At most this many buckets of ticks; by default as many as the width has room for."""
    log: Flag | None = None
    """A logarithmic axis, which leaves out what is not above 0; by default where losses span a
    factor of 20, and none is 0 or less."""
    lineage: Flag = False
    """Of a fork: with the ticks before its own."""


class PictureQuery(CurveQuery):
    """What a picture shows, and its size in pixels."""

    width: Annotated[int, Field(ge=render.MIN_WIDTH, le=render.MAX_WIDTH), DECIMAL] = (
        render.DEFAULT_WIDTH
    )
    height: Annotated[int, Field(ge=render.MIN_HEIGHT, le=render.MAX_HEIGHT), DECIMAL] = (
        render.DEFAULT_HEIGHT
    )


class TextPictureQuery(CurveQuery):
    """What a picture shows, and its size in characters, without labels."""

    width: Annotated[int, Field(ge=render.MIN_TEXT_WIDTH, le=render.MAX_TEXT_WIDTH), DECIMAL] = (
        render.DEFAULT_TEXT_WIDTH
    )
    height: Annotated[int, Field(ge=render.MIN_TEXT_HEIGHT, le=render.MAX_TEXT_HEIGHT), DECIMAL] = (
        render.DEFAULT_TEXT_HEIGHT
    )


class LinkCreate(StrictModel):
    """A link to be signed."""

    path: Annotated[str, Field(min_length=1, max_length=1000)]
    """What of the job it opens, with its query: `curve.svg?log=true`."""
    expires_in: Annotated[int, Field(ge=1, le=MAX_LINK_SECONDS), INTEGRAL] = DEFAULT_LINK_SECONDS
    """Seconds."""


class SignedLink(BaseModel):
    """A link that opens without a key."""

    url: str
    expires_at: str
