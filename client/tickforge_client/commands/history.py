"""tickforge history: a job's curve, its newest numbers, or all of them as CSV or JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from tickforge_client import formatting, history
from tickforge_client.blocking import iterate, run
from tickforge_client.client import Client
from tickforge_client.commands.common import (
    CommonOptions,
    byte_printer,
    job_argument,
    pass_common,
    print_json,
    print_lines,
)


@click.command(name="history")
@job_argument
@click.option("--columns", default="loss", show_default=True, help="names with commas between")
@click.option("--csv", is_flag=True, help="every tick as CSV")
@click.option("--last", type=click.IntRange(1), metavar="N", help="only the newest N ticks")
@click.option("--lineage", is_flag=True, help="of a fork: the ticks before its own too")
@click.option("--points", type=click.IntRange(1), metavar="N", help="a view of N buckets")
@pass_common
def show_history(
    common: CommonOptions,
    job_id: str,
    *,
    columns: str,
    csv: bool,
    last: int | None,
    points: int | None,
    lineage: bool,
) -> None:
    """Draw a job's history; with --csv or --json print every tick of it."""
    if csv and (points or common.json):
        raise click.UsageError("--csv goes neither with --points nor with --json")
    if last and points:
        raise click.UsageError("--last does not go with --points")
    names = [name.strip() for name in columns.split(",")]
    with common.client() as client:
        if csv:
            _print_csv(client, job_id, names, last, lineage=lineage)
        elif points:
            view = client.job(job_id).view(names, points=points, lineage=lineage)
            _show_view(view, names, common)
        elif common.json or last:
            reading = history.read(client.session, job_id, names, last=last, lineage=lineage)
            document = run(reading)
            print_json(document) if common.json else _show_last(document, names)
        else:
            _draw(client, job_id, names, lineage=lineage)


def _print_csv(
    client: Client, job_id: str, names: list[str], last: int | None, *, lineage: bool
) -> None:
    query: dict[str, Any] = {"columns": ",".join(names)}
    query |= {"last": last} if last is not None else {}
    query |= {"lineage": "true"} if lineage else {}
    print_bytes = byte_printer()
    for piece in iterate(history.stream_csv(client.session, job_id, query)):
        print_bytes(piece)


def _show_view(view: Mapping[str, Any], names: list[str], common: CommonOptions) -> None:
    if common.json:
        print_json(view)
        return
    parts = ("tick_first", "tick_last", "min", "max", "mean")
    for name in names:
        head = ("TICK_FIRST", "TICK_LAST", f"{name} MIN", "MAX", "MEAN")
        rows = list(zip(*(view[name][part] for part in parts), strict=True))
        print_lines(formatting.table_lines(head, rows))


def _show_last(document: Mapping[str, Any], names: list[str]) -> None:
    dense = [name for name in names if isinstance(document[name], list)]
    if dense:
        columns = [document["tick"], *(document[name] for name in dense)]
        print_lines(formatting.table_lines(("TICK", *dense), list(zip(*columns, strict=True))))
    for name in names:
        if name not in dense:
            sparse = document[name]
            rows = list(zip(sparse["tick"], sparse["value"], strict=True))
            print_lines(formatting.table_lines(("TICK", name), rows))


def _draw(client: Client, job_id: str, names: list[str], *, lineage: bool) -> None:
    job, options = client.job(job_id), {"lineage": True} if lineage else {}
    for name in names:
        print_lines(job.curve_lines(sys.stdout.encoding, columns=name, **options))
