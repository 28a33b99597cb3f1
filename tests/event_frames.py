"""Event streams in tests, read by the client's own parser."""

from collections.abc import Iterable, Iterator

from tickforge_client.events import SseParser


def parse_sse(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield type and data of each event in the lines of an event stream."""
    return filter(None, map(SseParser().feed, lines))
