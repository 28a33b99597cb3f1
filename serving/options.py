"""serve.py's flags, and the environment they turn into. Reads no setting that is not its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEFAULT_DATA = "data"
MAX_WORKERS = 256


class BadOption(Exception):
    """A value that cannot be used; the text names the variable, the value and what is accepted."""


@dataclass(frozen=True)
class Options:
    """`environment` is what the children see: the caller's, with the flags laid over it."""

    host: str
    port: int
    workers: int
    data: str
    environment: Mapping[str, str]


def parse_options(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Flags win over TICKFORGE_HOST, _PORT, _WORKERS, _DATA_DIR. Raises BadOption, SystemExit."""
    flags = vars(_build_parser().parse_args(argv))
    overrides = {name: str(value) for name, value in flags.items() if value is not None}
    environment = {**environ, **overrides}
    return Options(
        host=environment.get("TICKFORGE_HOST", "127.0.0.1"),
        port=_parse_integer(environment, "TICKFORGE_PORT", 8000, 0, 65_535),
        workers=_parse_integer(
            environment, "TICKFORGE_WORKERS", _default_workers(), 1, MAX_WORKERS
        ),
        data=environment.get("TICKFORGE_DATA_DIR", DEFAULT_DATA),
        environment=environment,
    )


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve.py",
        description="The whole Tickforge service on one machine: store, API and workers. "
        "Prints `tickforge ready URL` when all of them answer; Ctrl-C stops them in order.",
        epilog="Every flag wins over its environment variable. All other settings come from the "
        "environment alone (TICKFORGE_...); the README lists them.",
        allow_abbrev=False,
    )
    add_option = parser.add_argument
    add_option("--port", dest="TICKFORGE_PORT", metavar="N", help="0 takes a free port (8000)")
    add_option("--host", dest="TICKFORGE_HOST", metavar="HOST", help="address to bind (127.0.0.1)")
    add_option("--data", dest="TICKFORGE_DATA_DIR", metavar="DIR", help="data folder (./data)")
    add_option(
        "--workers",
        dest="TICKFORGE_WORKERS",
        metavar="N",
        help=f"jobs trained at a time (half the cores, at most 4: {_default_workers()} here)",
    )
    return parser


def _default_workers() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def _parse_integer(
    environment: Mapping[str, str], name: str, default: int, minimum: int, maximum: int
) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and minimum <= int(text) <= maximum):
        raise BadOption(f"{name}={text!r}: a whole number from {minimum} to {maximum} is accepted")
    return int(text)
