"""tickforge datasets upload, append, list, show, rows, download, delete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    confirm,
    dataset_argument,
    pass_common,
    print_json,
    print_lines,
    yes_option,
)
from tickforge_client.commands.progress_bar import progress_bar
from tickforge_client.commands.upload import append, note_lines, upload
from tickforge_client.datasets import Dataset
from tickforge_client.uploads import MEDIA_TYPES


@click.group()
def datasets() -> None:
    """Upload datasets to train on, and inspect them."""


datasets.add_command(upload)
datasets.add_command(append)


@datasets.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="continue an earlier list")
@pass_common
def list_datasets(common: CommonOptions, *, limit: int, after: str | None) -> None:
    """List datasets, the newest first."""
    with common.client() as client:
        page = client.dataset_page(limit=limit, after=after)
    rows = (
        (
            dataset["id"],
            dataset["name"],
            dataset["type"],
            formatting.count_text(dataset["rows"]),
            formatting.size_text(dataset["bytes"]),
            dataset["created_at"],
        )
        for dataset in page["data"]
    )
    common.print_page(page, ("ID", "NAME", "TYPE", "ROWS", "SIZE", "CREATED"), rows)


@datasets.command(name="show")
@dataset_argument
@pass_common
def show_dataset(common: CommonOptions, dataset_id: str) -> None:
    """Show a dataset's size, and the types and ranges of its columns."""
    with common.client() as client:
        dataset = client.dataset(dataset_id)
    if common.json:
        print_json(dataset.fields)
        return
    fields, names = dataset.fields, ("id", "name", "type", "rows", "characters", "sha256")
    properties = {name: fields[name] for name in names}
    arrays = {name: _array_text(fields[name]) for name in ("inputs", "targets") if fields[name]}
    properties |= {"size": formatting.size_text(dataset.bytes), **arrays}
    print_lines(formatting.key_value_lines(properties))
    if dataset.columns:
        print_lines(["", *_column_lines(dataset)])
    if dataset.notes:
        print_lines(["", *note_lines(dataset)])


@datasets.command(name="rows")
@dataset_argument
@click.option("--after", type=click.IntRange(0), default=0, help="rows after this number")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@pass_common
def show_rows(common: CommonOptions, dataset_id: str, *, after: int, limit: int) -> None:
    """Print rows, one JSON object per line."""
    with common.client() as client:
        rows = client.dataset(dataset_id).rows(after=after, limit=limit)
        if common.json:
            print_json(list(rows))
        else:
            print_lines(json.dumps(row, ensure_ascii=False) for row in rows)


@datasets.command(name="download")
@dataset_argument
@click.option("-o", "--output", metavar="FILE", help="target file [ID and the type's suffix]")
@pass_common
def download_dataset(common: CommonOptions, dataset_id: str, *, output: str | None) -> None:
    """Download a dataset as it was uploaded.

    Resumes an interrupted download, and verifies the sha256.
    """
    with common.client() as client:
        dataset = client.dataset(dataset_id)
        target = Path(output or dataset.id + _file_suffix(dataset))
        try:
            with progress_bar(target.name, dataset.bytes) as on_bytes:
                dataset.download(target, on_bytes)
        except OSError as error:
            raise click.FileError(str(target), str(error)) from error
    document = {"id": dataset.id, "file": str(target), "sha256": dataset.sha256}
    common.print_result(document, target)


@datasets.command(name="delete")
@dataset_argument
@yes_option
@pass_common
def delete_dataset(common: CommonOptions, dataset_id: str, *, yes: bool) -> None:
    """Delete a dataset permanently, unless a live job uses it."""
    confirm(f"Remove {dataset_id}?", yes=yes)
    with common.client() as client:
        client.dataset(dataset_id).delete()
    common.print_result({"id": dataset_id, "deleted": True}, f"{dataset_id} deleted")


def _column_lines(dataset: Dataset) -> list[str]:
    head = ("COLUMN", "TYPE", "MIN", "MAX", "DISTINCT", "MISSING", "CLASSES")
    rows = [
        (
            column["name"],
            column["type"],
            formatting.number_text(column["min"]),
            formatting.number_text(column["max"]),
            column["distinct"] or "",
            column.get("missing") or "",
            ", ".join(column["classes"] or [])[:60],
        )
        for column in dataset.columns
    ]
    return formatting.table_lines(head, rows)


def _array_text(array: dict[str, Any]) -> str:
    return f"{' × '.join(map(str, array['shape']))} {array['dtype']}"


def _file_suffix(dataset: Dataset) -> str:
    suffixes = [suffix for suffix, media_type in MEDIA_TYPES.items() if media_type == dataset.type]
    return suffixes[0] if suffixes else ""
