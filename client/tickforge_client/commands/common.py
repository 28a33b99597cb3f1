"""Shared by all commands: the options --url, --key and --json, arguments and output."""

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

EXIT_FAILED = 1  #: exit code of a job that failed or was cancelled


@dataclass
class CommonOptions:
    """The options accepted both before and after a command's name."""

    url: str | None = None
    key: str | None = None
    json: bool = False

    def client(self) -> Client:
        """Return a client of the server that flags, environment and config file name."""
        return Client(self.url, self.key, say=print_to_stderr)


pass_common = click.make_pass_decorator(CommonOptions, ensure=True)


def common_options(function: Function) -> Function:
    """Add the options --url, --key and --json to a command."""
    for name, help_text in (
        ("--json", "print JSON"),
        ("--key", "key to the server [TICKFORGE_KEY]"),
        ("--url", "the server, http://HOST:PORT [TICKFORGE_URL]"),
    ):
        settings: dict[str, Any] = {"is_flag": True} if name == "--json" else {"metavar": "TEXT"}
        click.option(name, help=help_text, callback=_store_option, expose_value=False, **settings)(
            function
        )
    return function


def _store_option(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and parameter.name is not None:
        setattr(context.ensure_object(CommonOptions), parameter.name, value)


def id_argument(name: str, metavar: str) -> Callable[[Function], Function]:
    """Return a click argument for the id of a resource; a malformed id is a usage error."""

    def check(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value):
            raise click.BadParameter(f"{value!r} is no {metavar.lower()}'s id")
        return value

    return click.argument(name, metavar=metavar, callback=check)


job_argument = id_argument("job_id", "JOB")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(line)


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_to_stderr(line: str) -> None:
    """Print a line to standard error."""
    click.echo(line, err=True)


def exit_code(status: str) -> int:
    """Return the exit code for a job's status: 1 if failed or cancelled, else 0."""
    return EXIT_FAILED if status in ("failed", "cancelled") else 0
