"""Paths of the service's resources. Knows no HTTP library."""

from __future__ import annotations

from urllib.parse import quote

from tickforge_client.errors import FieldError, InvalidInput


def api_path(*parts: str | int) -> str:
    """Return a path under /v1; the parts may contain any character and are percent-encoded.

    Raises InvalidInput for a part that would make it the path of something else: an empty one, or
    one of dots, which are resolved before anything is sent.
    """
    for before, part in enumerate(parts):
        if part in ("", ".", "..") or not isinstance(part, str | int):
            place = "/v1/" + "/".join([*map(str, parts[:before]), "…"])
            rule = "an id or a name: neither empty nor dots alone"
            raise InvalidInput([FieldError(place, rule, part, True)])
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)
