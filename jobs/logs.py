"""The service's own log: structured lines on standard error, as JSON or as text."""

import logging
import os
import sys
from typing import Any

import structlog


def configure_logging(log_format: str) -> None:
    """Configure logging for this process; `log_format` is "json" or "text"."""
    render: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )


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
