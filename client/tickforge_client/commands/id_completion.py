"""Completes ids from a list of the service, for a shell: soon, or not at all. Prints nothing."""

from __future__ import annotations

from typing import Any

from click.shell_completion import CompletionItem

from tickforge_client import formatting
from tickforge_client.blocking import run
from tickforge_client.client import find_connection
from tickforge_client.errors import TickforgeError, Unreachable
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path
from tickforge_client.transport import BlockingTransport

#: entries that are looked at, the newest
MAX_ENTRIES = 100
#: seconds after which a shell gets no ids
TIMEOUT_SECONDS = 1.0


def complete_ids(
    url: str | None, key: str | None, listed: str, incomplete: str
) -> list[CompletionItem]:
    """Return the ids that begin so, and those of entries whose name does; none if it fails."""
    try:
        page = _fetch_page(url, key, listed)
    except TickforgeError:
        return []
    return [
        CompletionItem(entry["id"], help=formatting.plain_text(entry["name"]))
        for entry in page["data"]
        if entry["id"].startswith(incomplete) or entry["name"].startswith(incomplete)
    ]


def _fetch_page(url: str | None, key: str | None, listed: str) -> dict[str, Any]:
    connection = find_connection(url, key)
    transport = BlockingTransport(connection, _give_up)
    session = ApiSession(connection.url, transport, max_timeout=TIMEOUT_SECONDS)
    try:
        return run(session.get(api_path(listed), {"limit": MAX_ENTRIES}))
    finally:
        run(session.close())


def _give_up(_seconds: float) -> None:
    raise Unreachable("a shell does not wait for a second attempt")
