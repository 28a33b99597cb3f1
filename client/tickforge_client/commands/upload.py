"""tickforge datasets upload, append."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from tickforge_client import formatting
from tickforge_client.commands.common import CommonOptions, dataset_argument, echo, pass_common
from tickforge_client.commands.progress_bar import progress_bar
from tickforge_client.commands.row_files import STANDARD_INPUT
from tickforge_client.datasets import Dataset
from tickforge_client.uploads import MEDIA_TYPES, UnknownType, media_type_of

#: --type accepts these names, or a media type
MEDIA_TYPE_ALIASES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "jsonl": "application/x-ndjson",
    "text": "text/plain",
    "npz": "application/x-npz",
    "parquet": "application/vnd.apache.parquet",
}


file_argument = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
type_option = click.option(
    "--type",
    "kind",
    type=click.Choice([*MEDIA_TYPE_ALIASES, *sorted(set(MEDIA_TYPES.values()))]),
    metavar="TYPE",
    help=f"{', '.join(MEDIA_TYPE_ALIASES)}, or a media type [by the file's suffix]",
)


@click.command()
@file_argument
@click.option("--name", help="display name [the file's name]")
@type_option
@click.option(
    "--delimiter",
    type=click.Choice(["comma", "semicolon", "tab", "space", "pipe"]),
    help="separator of a CSV's fields [comma]",
)
@click.option(
    "--header",
    type=click.Choice(["present", "absent"]),
    help="whether a CSV's first row names its columns; absent: c1, c2, ... [present]",
)
@click.option(
    "--decimal", type=click.Choice(["point", "comma"]), help="sign before a fraction [point]"
)
@click.option(
    "--thousands",
    type=click.Choice(["none", "comma", "point", "space"]),
    help="sign between groups of three digits [none]",
)
@click.option(
    "--missing",
    metavar="CELL",
    multiple=True,
    help="a cell that means a missing value, beside NA, ?, - and the like; repeatable",
)
@click.option("--inputs", metavar="ARRAY", help="array of the inputs in an NPZ file [inputs]")
@click.option("--targets", metavar="ARRAY", help="array of the targets in an NPZ file [targets]")
@pass_common
def upload(common: CommonOptions, file: Path, *, kind: str | None, **options: Any) -> None:
    """Upload FILE and print the dataset's id. The same file and options give the same id.

    \b
    FILE is one of
      .csv .data  comma-separated, or as --delimiter says
      .tsv        tab-separated
      .jsonl .ndjson  a JSON object a line
      .txt        plain text in UTF-8
      .npz        NumPy arrays of inputs and targets
      .parquet    (the service needs its extra for it)
    each also gzip'd (.gz), or - for standard input, with --type.

    What is doubtful about the data is printed as notes on standard error.
    """
    media_type = _resolve_type(file, kind)
    with common.client() as client, _open_input(file) as (path, name):
        options["name"] = options["name"] if options["name"] is not None else name
        with progress_bar(name, path.stat().st_size) as on_bytes:
            dataset = client.upload(path, type=media_type, on_bytes=on_bytes, **options)
    if not common.json:
        for line in note_lines(dataset):
            echo(line, err=True)
    common.print_result(dataset.fields, dataset.id)


@click.command()
@dataset_argument
@file_argument
@click.option("--name", help="display name [that of the dataset]")
@type_option
@pass_common
def append(
    common: CommonOptions, dataset_id: str, file: Path, *, kind: str | None, name: str | None
) -> None:
    """Append the rows of FILE to a dataset, and print the id of the new dataset of all rows.

    FILE has the form of the dataset: the same columns in the same order, read by the same options.
    A row that does not fit its columns refuses all. The dataset itself stays as it is. Standard
    input (-) has the dataset's type, if --type names no other.
    """
    with common.client() as client, _open_input(file) as (path, _):
        parent = client.dataset(dataset_id)
        is_input = kind is None and file == STANDARD_INPUT
        media_type = parent.type if is_input else _resolve_type(file, kind)
        with progress_bar(path.name, path.stat().st_size) as on_bytes:
            dataset = parent.append(path, name=name, type=media_type, on_bytes=on_bytes)
    common.print_result(dataset.fields, dataset.id)


def note_lines(dataset: Dataset) -> list[str]:
    """Return a dataset's notes, one a line."""
    return [
        formatting.plain_text(
            f"note: column {note['column']}: {note['detail']}"
            if note["column"] is not None
            else f"note: {note['detail']}"
        )
        for note in dataset.notes
    ]


def _resolve_type(file: Path, kind: str | None) -> str:
    """Return the media type. Raises UsageError where neither option nor suffix has it."""
    if kind is not None:
        return MEDIA_TYPE_ALIASES.get(kind, kind)
    if file == STANDARD_INPUT:
        raise click.UsageError("standard input has no suffix: its type is needed (--type)")
    try:
        return media_type_of(file)
    except UnknownType as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def _open_input(file: Path) -> Iterator[tuple[Path, str]]:
    """Yield a path that can be read again, as retries do, and a name for it."""
    if file != STANDARD_INPUT:
        yield file, file.name
        return
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="tickforge-upload-"))
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
        except OSError as error:
            raise click.FileError("standard input", f"its copy: {error}") from error
        yield Path(copy.name), "standard input"
