"""serve.py's flags, and the settings and environment that follow from them. Touches nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.settings import Settings, read_data_folder, read_integer
from serving import gpus

MAX_WORKERS = 256


@dataclass(frozen=True)
class Options:
    """What to serve; `environment` is the children's: the caller's, overridden by the flags."""

    host: str
    port: int
    workers: int
    gpus: str  # auto, none, or numbers
    data: Path
    environment: Mapping[str, str] = field(repr=False)  # keys and passwords among it
    unknown_variables: Mapping[str, str | None] = field(default_factory=dict)  # as in Settings


def parse_options(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read flags and settings; a flag overrides its variable. Raises InvalidSetting, SystemExit."""
    flags = vars(_build_parser().parse_args(argv))
    overrides = {name: str(value) for name, value in flags.items() if value is not None}
    environment = {**environ, **overrides}
    # the embedded store has its URL only later
    store_url = environment.get("TICKFORGE_REDIS_URL") or "unix:///embedded"
    settings = Settings.from_env({**environment, "TICKFORGE_REDIS_URL": store_url})
    unknown = settings.unknown_variables
    return Options(
        host=settings.host,
        port=settings.port,
        workers=read_integer(environment, "TICKFORGE_WORKERS", _default_workers(), 1, MAX_WORKERS),
        gpus=gpus.check_request(environment.get(gpus.VARIABLE) or gpus.AUTO),
        data=read_data_folder(environment),
        # the children, which would warn of unknown variables too, do not get them
        environment={name: text for name, text in environment.items() if name not in unknown},
        unknown_variables=unknown,
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
        help=f"jobs trained at a time on CPUs (half the cores, at most 4: {_default_workers()} "
        "here)",
    )
    add_option(
        "--gpus",
        dest=gpus.VARIABLE,
        metavar="GPUS",
        help="GPUs that get a worker each, beside those: auto (all), none, or numbers, 0,1 (auto)",
    )
    return parser


def _default_workers() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))
