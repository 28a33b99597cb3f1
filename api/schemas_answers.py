"""Queries about answers; jobs/answers/requests.py has their bodies."""

from typing import Annotated

from pydantic import Field

from api.query import SECONDS, Query
from jobs.answers.requests import MAX_WAIT_SECONDS


class PredictQuery(Query):
    """How long to wait for an answer."""

    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS), SECONDS] = 10
    """Seconds to wait for its end; also a field of the body, which counts then."""
