"""tickforge datasets: upload, list, show, rows, download, delete."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tickforge_client import text
from tickforge_client.commands.common import (
    Common,
    common_options,
    complain,
    pass_common,
    show,
    show_json,
)
from tickforge_client.datasets import Dataset
from tickforge_client.uploads import TYPES, UnknownType, type_of

#: --type takes these words, or a media type
WORDS = {"csv": "text/csv", "jsonl": "application/x-ndjson", "text": "text/plain",
         "npz": "application/x-npz"}  # fmt: skip


def _dataset_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value):
        raise click.BadParameter(f"{value!r} is no dataset's id")
    return value


dataset_argument = click.argument("dataset_id", metavar="DATASET", callback=_dataset_id)


@click.group()
def datasets() -> None:
    """Upload data to train on, and look at them."""


@datasets.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="for people [the file's name]")
@click.option("--type", "kind", type=click.Choice([*WORDS, *sorted(set(TYPES.values()))]),
              help="what it is [by the file's name]")  # fmt: skip
@click.option("--delimiter", type=click.Choice(["comma", "semicolon", "tab", "pipe"]),
              help="between the fields of a CSV")  # fmt: skip
@common_options
@pass_common
def upload(
    common: Common, file: Path, *, name: str | None, kind: str | None, delimiter: str | None
) -> None:
    """Upload FILE and print the dataset's id. The same file gives the same id."""
    try:
        media_type = type_of(file) if kind is None else WORDS.get(kind, kind)
    except UnknownType as error:
        raise click.UsageError(str(error)) from error
    with common.client() as client, _bar(file.name, file.stat().st_size) as on_bytes:
        made = client.upload(
            file, name=name, type=media_type, delimiter=delimiter, on_bytes=on_bytes
        )
    if common.json:
        show_json(made.fields)
    else:
        click.echo(made.id)


@datasets.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="go on where an earlier list ended")
@common_options
@pass_common
def list_datasets(common: Common, *, limit: int, after: str | None) -> None:
    """List datasets, the newest first."""
    with common.client() as client:
        page = client.dataset_page(limit=limit, after=after)
    if common.json:
        show_json(page)
        return
    rows = [
        (each["id"], each["name"], each["type"], _rows(each), text.size(each["bytes"]),
         each["created_at"])
        for each in page["data"]
    ]  # fmt: skip
    show(text.table(("ID", "NAME", "TYPE", "ROWS", "SIZE", "CREATED"), rows))
    if page["has_more"]:
        complain(f"more: --after {page['next_after']}")


@datasets.command(name="show")
@dataset_argument
@common_options
@pass_common
def show_dataset(common: Common, dataset_id: str) -> None:
    """Say what is known of a dataset: its rows, its columns and their values."""
    with common.client() as client:
        found = client.dataset(dataset_id)
    if common.json:
        show_json(found.fields)
        return
    fields = found.fields
    told = {name: fields[name] for name in ("id", "name", "type", "rows", "characters", "sha256")}
    arrays = {name: _array(fields[name]) for name in ("inputs", "targets") if fields[name]}
    show(text.facts({**told, "size": text.size(found.bytes), **arrays}))
    if found.columns:
        rows = [
            (each["name"], each["type"], text.number(each["min"]), text.number(each["max"]),
             each["distinct"] or "", ", ".join(each["classes"] or [])[:60])
            for each in found.columns
        ]  # fmt: skip
        show(["", *text.table(("COLUMN", "TYPE", "MIN", "MAX", "DISTINCT", "CLASSES"), rows)])


@datasets.command(name="rows")
@dataset_argument
@click.option("--after", type=click.IntRange(0), default=0, help="rows behind this one")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@common_options
@pass_common
def show_rows(common: Common, dataset_id: str, *, after: int, limit: int) -> None:
    """Print some rows, an object a line."""
    with common.client() as client:
        rows = client.dataset(dataset_id).rows(after=after, limit=limit)
        if common.json:
            show_json(list(rows))
        else:
            show(json.dumps(row, ensure_ascii=False) for row in rows)


@datasets.command(name="download")
@dataset_argument
@click.option("-o", "--output", metavar="FILE", help="where to put it [ID and the type's ending]")
@common_options
@pass_common
def download_dataset(common: Common, dataset_id: str, *, output: str | None) -> None:
    """Download a dataset as it was uploaded.

    Goes on where an earlier download stopped, and verifies the sha256.
    """
    with common.client() as client:
        found = client.dataset(dataset_id)
        target = Path(output or found.id + _ending(found))
        try:
            with _bar(target.name, found.bytes) as on_bytes:
                found.download(target, on_bytes)
        except OSError as error:
            raise click.FileError(str(target), str(error)) from error
    if common.json:
        show_json({"id": found.id, "file": str(target), "sha256": found.sha256})
    else:
        click.echo(target)


@datasets.command(name="delete")
@dataset_argument
@click.option("--yes", is_flag=True, help="do not ask")
@common_options
@pass_common
def delete_dataset(common: Common, dataset_id: str, *, yes: bool) -> None:
    """Remove a dataset that no live job uses, for good."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Remove {dataset_id}?", abort=True, err=True)
    with common.client() as client:
        client.dataset(dataset_id).delete()
    if common.json:
        show_json({"id": dataset_id, "deleted": True})
    else:
        click.echo(f"{dataset_id} deleted")


def _rows(fields: dict[str, Any]) -> str:
    return "-" if fields["rows"] is None else f"{fields['rows']:,}"


def _array(about: dict[str, Any]) -> str:
    return f"{' × '.join(map(str, about['shape']))} {about['dtype']}"


def _ending(found: Dataset) -> str:
    return next((ending for ending, kind in TYPES.items() if kind == found.type), "")


@contextmanager
def _bar(name: str, size: int) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(),
               TransferSpeedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text.plain(name), total=size)
        yield lambda done: bar.update(task, completed=done)
