"""serve.py's flags, and the environment they turn into. Reads no setting that is not its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEFAULT_DATA = "data"
MOST_WORKERS = 256


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


def read_options(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Flags win over TICKFORGE_HOST, _PORT, _WORKERS, _DATA_DIR. Raises BadOption, SystemExit."""
    flags = vars(_parser().parse_args(argv))
    given = {name: str(value) for name, value in flags.items() if value is not None}
    environment = {**environ, **given}
    return Options(
        host=environment.get("TICKFORGE_HOST", "127.0.0.1"),
        port=_whole_number(environment, "TICKFORGE_PORT", 8000, 0, 65_535),
        workers=_whole_number(environment, "TICKFORGE_WORKERS", _half_the_cores(), 1, MOST_WORKERS),
        data=environment.get("TICKFORGE_DATA_DIR", DEFAULT_DATA),
        environment=environment,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve.py",
        description="The whole Tickforge service on one machine: store, API and workers. "
        "Prints `tickforge ready URL` when all of them answer; Ctrl-C stops them in order.",
        epilog="Every flag wins over its environment variable. All other settings come from the "
        "environment alone (TICKFORGE_...); the README lists them.",
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--port", dest="TICKFORGE_PORT", metavar="N", help="0 takes a free port (8000)")
    option("--host", dest="TICKFORGE_HOST", metavar="HOST", help="address to bind (127.0.0.1)")
    option("--data", dest="TICKFORGE_DATA_DIR", metavar="DIR", help="data folder (./data)")
    option(
        "--workers",
        dest="TICKFORGE_WORKERS",
        metavar="N",
        help=f"jobs trained at a time (half the cores, at most 4: {_half_the_cores()} here)",
    )
    return parser


def _half_the_cores() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def _whole_number(
    environment: Mapping[str, str], name: str, default: int, least: int, most: int
) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise BadOption(f"{name}={text!r}: a whole number from {least} to {most} is accepted")
    return int(text)
