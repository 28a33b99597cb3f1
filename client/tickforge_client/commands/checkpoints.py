"""tickforge checkpoints, download: what a job saved."""

from __future__ import annotations

from pathlib import Path

import click

from tickforge_client import text
from tickforge_client.checkpoints import Checkpoint
from tickforge_client.commands.common import (
    Common,
    common_options,
    complain,
    job_argument,
    pass_common,
    show,
    show_json,
)


@click.command()
@job_argument
@common_options
@pass_common
def checkpoints(common: Common, job_id: str) -> None:
    """List a job's checkpoints, the oldest first."""
    with common.client() as client:
        found = client.job(job_id).checkpoints
    if common.json:
        show_json([each.fields for each in found])
        return
    rows = [
        (
            each.tick,
            _marks(each),
            text.plain(each.name or ""),
            text.size(each.bytes),
            "  ".join(f"{name}={text.number(value)}" for name, value in each.metrics.items()),
            each.created_at,
        )
        for each in found
    ]
    show(text.table(("TICK", "", "NAME", "SIZE", "METRICS", "CREATED"), rows))


def _marks(each: Checkpoint) -> str:
    marks = {"best": each.is_best, "final": each.is_final, "pinned": each.pinned}
    return " ".join(word for word, so in marks.items() if so)


@click.command()
@job_argument
@click.argument("which", default="latest", metavar="[WHICH]")
@click.option("-o", "--output", metavar="DIR", help="folder to put it in [JOB-TICK]")
@common_options
@pass_common
def download(common: Common, job_id: str, which: str, *, output: str | None) -> None:
    """Download a checkpoint: WHICH is a tick, or initial, latest, best or final (latest).

    Goes on where an earlier download stopped, and verifies every file's sha256.
    """
    with common.client() as client:
        checkpoint = client.job(job_id).checkpoint(which)
        folder = Path(output or f"{job_id}-{checkpoint.tick}")
        try:
            checkpoint.download(folder)
        except OSError as error:
            raise click.FileError(str(folder), str(error)) from error
    if common.json:
        files = [str(folder / file.name) for file in checkpoint.files]
        show_json({"tick": checkpoint.tick, "folder": str(folder), "files": files})
    else:
        for file in checkpoint.files:
            complain(f"{file.name}  {text.size(file.bytes)}  sha256 {file.sha256}")
        click.echo(folder)
