"""Lines of the log from programs that have no logger: serve.py, a failed start, the store's server.

Imports nothing of structlog, so that a start that fails at once is not slow.
"""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime

FORMAT_VARIABLE = "TICKFORGE_LOG_FORMAT"
#: `pid:role 29 Nov 2026 03:07:31.258 # text`; the mark before the text is its level
_SERVER_LINE = re.compile(r"\d+:\w+ \d+ \w+ \d{4} [\d:.]+ ([.*#-]) (.*)", re.DOTALL)
_SERVER_LEVELS = {".": "debug", "-": "info", "*": "info", "#": "warning"}


def read_log_format(environ: Mapping[str, str]) -> str:
    """Return "json" or "text": text for a value that is neither, since its error needs a form."""
    return "json" if environ.get(FORMAT_VARIABLE) == "json" else "text"


class LineLog:
    """Writes lines on standard error: as they are, or as JSON objects of the log's own fields."""

    def __init__(self, part: str, log_format: str) -> None:
        self._part, self._is_json = part, log_format == "json"

    def info(self, text: str) -> None:
        """Write what goes on."""
        self._write(text, "info", text)

    def warning(self, text: str) -> None:
        """Write what may need somebody."""
        self._write(text, "warning", text)

    def error(self, text: str) -> None:
        """Write why a program ends."""
        self._write(text, "error", f"error: {text}")

    def server_line(self, line: str) -> None:
        """Write a line of the store's server, with its own level; an empty one is left out."""
        if match := _SERVER_LINE.fullmatch(line):
            self._write(match[2], _SERVER_LEVELS[match[1]], line)
        elif line:
            self._write(line, "info", line)

    def _write(self, event: str, level: str, text: str) -> None:
        if self._is_json:
            timestamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            entry = {"part": self._part, "event": event, "level": level, "timestamp": timestamp}
            text = json.dumps(entry)
        os.write(2, text.encode(errors="replace") + b"\n")
