"""Shared by all commands: the options --url, --key and --json, arguments and output."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from tickforge_client import formatting
from tickforge_client.client import Client
from tickforge_client.commands.id_completion import complete_ids

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
        return Client(self.url, self.key, say=partial(echo, err=True))

    def print_result(self, document: Any, text: object) -> None:
        """Print one line, or with --json the document."""
        if self.json:
            print_json(document)
        else:
            echo(text)

    def print_table(
        self, document: Any, head: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Print the rows under `head`, or with --json the document, without reading the rows."""
        if self.json:
            print_json(document)
        else:
            print_lines(formatting.table_lines(head, list(rows)))

    def print_page(
        self, page: Mapping[str, Any], head: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Print a page of a list like print_table, and the option that gives the next page."""
        self.print_table(page, head, rows)
        if page["has_more"] and not self.json:
            echo(f"more: --after {page['next_after']}", err=True)


def common_options(function: Function) -> Function:
    """Add the options --url, --key and --json to a command."""
    option = partial(click.option, callback=_store_option, expose_value=False)
    option("--json", is_flag=True, help="print JSON")(function)
    option("--key", help="key to the server [TICKFORGE_KEY]")(function)
    option("--url", help="the server, http://HOST:PORT [TICKFORGE_URL]")(function)
    return function


def pass_common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the common options to a command, and pass them as its first argument."""
    return common_options(click.make_pass_decorator(CommonOptions, ensure=True)(function))


def _store_option(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and parameter.name is not None:
        setattr(context.ensure_object(CommonOptions), parameter.name, value)


def id_argument(
    name: str, metavar: str, listed: str | None = None, *, is_list: bool = False
) -> Callable[[Function], Function]:
    """Return a click argument for the id of a resource; a malformed id is a usage error.

    `listed`: the list of the service from which a shell completes it. `is_list`: any number of ids.
    """

    def check(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        for one in value if is_list else [value]:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", one):
                raise click.BadParameter(f"{one!r} is no {metavar.lower()}'s id")
        return value

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        common = context.find_object(CommonOptions) or CommonOptions()
        return complete_ids(common.url, common.key, listed, incomplete) if listed else []

    shown = f"[{metavar}]..." if is_list else metavar
    return click.argument(
        name, metavar=shown, callback=check, shell_complete=complete,
        nargs=-1 if is_list else 1, required=not is_list,
    )  # fmt: skip


job_argument = id_argument("job_id", "JOB", "jobs")
jobs_argument = id_argument("job_ids", "JOB", "jobs", is_list=True)
dataset_argument = id_argument("dataset_id", "DATASET", "datasets")
yes_option = click.option("--yes", is_flag=True, help="do not ask")


def parse_labels(labels: Iterable[str]) -> dict[str, str]:
    """Return labels of KEY:VALUE, split at the first colon. Raises BadParameter."""
    return dict(map(_parse_label, labels))


def _parse_label(label: str) -> tuple[str, str]:
    key, colon, value = label.partition(":")
    if not colon or not key:
        raise click.BadParameter(f"{label!r}: KEY:VALUE is accepted", param_hint="--label")
    return key, value


def confirm(question: str, *, yes: bool) -> None:
    """Ask in a terminal, unless `yes`; raises Abort if the answer is no."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def echo(text: object, *, err: bool = False) -> None:
    """Print text, whose characters that could steer a terminal are replaced: others wrote it."""
    click.echo(formatting.plain_text(text, keep="\n\t"), err=err)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        echo(line)


def print_json(value: Any, *, err: bool = False) -> None:
    """Print one JSON document, its unprintable characters as escapes."""
    stream = sys.stderr if err else sys.stdout
    text = json.dumps(value, ensure_ascii=False, indent=2 if stream.isatty() else None)
    click.echo("".join(map(_json_character, text)), err=err)


def _json_character(char: str) -> str:
    return char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]


def byte_printer() -> Callable[[bytes], None]:
    """Return what prints bytes as they are, or in a terminal as text that cannot steer it."""
    if not sys.stdout.isatty():
        return _write_bytes
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return lambda piece: click.echo(
        formatting.plain_text(decoder.decode(piece), keep="\n\t"), nl=False
    )


def _write_bytes(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def exit_code(status: str) -> int:
    """Return the exit code for a job's status: 1 if failed or cancelled, else 0."""
    return EXIT_FAILED if status in ("failed", "cancelled") else 0
