"""A job's curve as the server draws it: SVG, PNG, or text for a terminal. Draws nothing itself."""

from __future__ import annotations

from typing import Any

from tickforge_client.errors import NotFound
from tickforge_client.http import ApiSession
from tickforge_client.json_values import require_choice
from tickforge_client.paths import api_path

FORMS = ("svg", "png", "txt")
#: of a path that the server does not have; a job that is not there has another type
UNKNOWN_PATH = "urn:tickforge:problem:not-found"
_BRAILLE = range(0x2800, 0x2900)
_ASCII = {0x2502: "|", 0x2514: "+", 0x2500: "-", **dict.fromkeys(_BRAILLE, "*")}


async def fetch(session: ApiSession, job_id: str, form: str, **options: Any) -> bytes:
    """Return the picture. Options that are None keep the server's defaults.

    Raises InvalidInput for a form that there is not.
    """
    require_choice("form", form, FORMS)
    query = {name: value for name, value in options.items() if value is not None}
    for name, value in query.items():
        if isinstance(value, bool):
            query[name] = "true" if value else "false"
    return await session.get_bytes(api_path("jobs", job_id, f"curve.{form}"), query)


async def terminal_lines(
    session: ApiSession, job_id: str, encoding: str | None, **options: Any
) -> list[str]:
    """Return the curve's text as lines, in characters that this encoding has."""
    try:
        text = (await fetch(session, job_id, "txt", **options)).decode()
    except NotFound as error:
        if error.type != UNKNOWN_PATH:
            raise
        return ["(this server is older than this client, and draws no curves)"]
    return (text if can_show(encoding) else text.translate(_ASCII)).splitlines()


def can_show(encoding: str | None) -> bool:
    """Return whether this encoding has braille dots and box lines."""
    try:
        "⣿│".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
