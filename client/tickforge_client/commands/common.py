"""What all commands share: server, key and --json; JSON and lines to standard output."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from tickforge_client.client import Client

Function = TypeVar("Function", bound=Callable[..., Any])

FAILED = 1  #: exit code of a job that failed or was cancelled


@dataclass
class Common:
    """The options that stand before or after a command alike."""

    url: str | None = None
    key: str | None = None
    json: bool = False

    def client(self) -> Client:
        """The server that flags, environment and config file lead to."""
        return Client(self.url, self.key, say=complain)


pass_common = click.make_pass_decorator(Common, ensure=True)


def common_options(function: Function) -> Function:
    """Add --url, --key and --json."""
    for name, about in (
        ("--json", "print JSON"),
        ("--key", "key to the server [TICKFORGE_KEY]"),
        ("--url", "the server, http://HOST:PORT [TICKFORGE_URL]"),
    ):
        flag: dict[str, Any] = {"is_flag": True} if name == "--json" else {"metavar": "TEXT"}
        click.option(name, help=about, callback=_remember, expose_value=False, **flag)(function)
    return function


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and parameter.name is not None:
        setattr(context.ensure_object(Common), parameter.name, value)


def _job_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value):
        raise click.BadParameter(f"{value!r} is no job's id")
    return value


job_argument = click.argument("job_id", metavar="JOB", callback=_job_id)


def show(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(line)


def show_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def complain(line: str) -> None:
    """Print a line to standard error."""
    click.echo(line, err=True)


def outcome(status: str) -> int:
    """The exit code that tells a job's outcome."""
    return FAILED if status in ("failed", "cancelled") else 0
