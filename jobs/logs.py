"""The service's own log: structured lines on standard error, as JSON or as text."""

import logging
import os
import sys
from typing import Any

# structlog imports rich where it is installed, for tracebacks, which are formatted here before it
# sees them: 4.5 MiB of each process. While it is imported, rich is absent.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich


def configure_logging(log_format: str) -> None:
    """Configure logging for this process; `log_format` is "json" or "text"."""
    colors = sys.stderr.isatty()
    render: list[Any] = (
        [structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_escape_texts, structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    if not any(isinstance(handler, _LibraryHandler) for handler in root.handlers):
        root.addHandler(_LibraryHandler(logging.WARNING))


def printable(text: str) -> str:
    """Return a text with an escape such as \\x1b for each character that is not printable.

    Those are line ends, terminals' escapes, C1 controls, and marks of the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _escape_texts(_logger: Any, _method: str, fields: Any) -> dict[str, Any]:
    """Keep each entry on a line of its own; a traceback's lines are indented below it.

    So nothing that a client wrote begins a line, or steers the terminal that shows it.
    """
    escaped = {printable(name): _escape_value(value) for name, value in fields.items()}
    if isinstance(traceback := fields.get("exception"), str):
        # only "\n" ends a line: str.splitlines() knows characters that terminals do not
        escaped["exception"] = "\n".join(f"    {printable(line)}" for line in traceback.split("\n"))
    return escaped


def _escape_value(value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    return printable(value if isinstance(value, str) else repr(value))


class _LibraryHandler(logging.Handler):
    """Writes what libraries log as entries of this log, in its format."""

    def emit(self, record: logging.LogRecord) -> None:
        level, details = record.levelno, {"exc_info": record.exc_info}
        get_logger(record.name).log(level, record.getMessage(), **details)


class _StderrLogger:
    """Writes each line by one system call, with no lock that a fork could copy while held."""

    def __init__(self, *_args: object) -> None:
        pass

    def msg(self, line: str) -> None:
        os.write(2, line.encode(errors="replace") + b"\n")

    debug = info = warning = error = critical = exception = msg


def get_logger(name: str, **bound: Any) -> Any:
    """Return a logger that writes `part=name` and `bound` on every line."""
    return structlog.get_logger().bind(part=name, **bound)
