"""tickforge curve, link: a job's curve as a picture, and links that open without a key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tickforge_client.commands.common import (
    CommonOptions,
    byte_printer,
    job_argument,
    pass_common,
    print_json,
    print_lines,
)
from tickforge_client.curves import FORMS


@click.command(name="curve")
@job_argument
@click.option("-o", "--output", metavar="FILE", help="a file ending in .svg, .png or .txt, or -")
@click.option("--form", type=click.Choice(FORMS), help="by default by the file's name, else txt")
@click.option("--columns", default="loss", show_default=True, help="one or two, a comma between")
@click.option("--log/--linear", "log", default=None, help="the scale [by the values]")
@click.option("--width", type=click.IntRange(1), help="pixels; of a text characters")
@click.option("--height", type=click.IntRange(1), help="pixels; of a text characters")
@click.option("--lineage", is_flag=True, help="of a fork: the ticks before its own too")
@pass_common
def draw_curve(
    common: CommonOptions,
    job_id: str,
    *,
    output: str | None,
    form: str | None,
    columns: str,
    log: bool | None,
    width: int | None,
    height: int | None,
    lineage: bool,
) -> None:
    """Draw a job's curve in the terminal, or into a file with -o."""
    if common.json:
        raise click.UsageError("a picture is no JSON: tickforge history --json has the numbers")
    chosen = form or _form_of(output)
    options: dict[str, Any] = {
        "columns": columns, "log": log, "width": width, "height": height,
        "lineage": lineage or None,
    }  # fmt: skip
    with common.client() as client:
        job = client.job(job_id)
        if output is None and chosen == "txt":
            print_lines(job.curve_lines(sys.stdout.encoding, **options))
            return
        picture = job.curve(chosen, **options)
    if output in (None, "-"):
        byte_printer()(picture)
    else:
        Path(str(output)).write_bytes(picture)


def _form_of(output: str | None) -> str:
    """Return the form that a file's name ends in; text without one. Raises UsageError."""
    if output in (None, "-"):
        return "txt"
    suffix = Path(str(output)).suffix.removeprefix(".").lower()
    if suffix not in FORMS:
        raise click.UsageError(f"{output}: a name ending in .svg, .png or .txt, or --form")
    return suffix


@click.command(name="link")
@job_argument
@click.argument("path")
@click.option("--expires-in", type=click.IntRange(1), metavar="SECONDS", help="[7 days]")
@pass_common
def sign_link(common: CommonOptions, job_id: str, *, path: str, expires_in: int | None) -> None:
    """Print a link to PATH of a job that opens without a key.

    PATH is curve.svg, curve.png or curve.txt with a query, result, export/tensorboard,
    export/wandb, or a file such as checkpoints/best/files/model.safetensors. The link ends with
    its time, and with the key that signed it.
    """
    with common.client() as client:
        link = client.job(job_id).link(path, expires_in=expires_in)
    if common.json:
        print_json(link._asdict())
    else:
        click.echo(link.url)
