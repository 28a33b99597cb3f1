"""tickforge checkpoints, checkpoint, download: list, request and fetch a job's checkpoints."""

from __future__ import annotations

from pathlib import Path

import click

from tickforge_client import formatting
from tickforge_client.checkpoints import Checkpoint
from tickforge_client.commands.common import (
    CommonOptions,
    echo,
    job_argument,
    pass_common,
    print_json,
)
from tickforge_client.commands.control import print_job


@click.command()
@job_argument
@pass_common
def checkpoints(common: CommonOptions, job_id: str) -> None:
    """List a job's checkpoints, oldest first."""
    with common.client() as client:
        job_checkpoints = client.job(job_id).checkpoints
    rows = (
        (
            checkpoint.tick,
            _marks(checkpoint),
            checkpoint.name or "",
            formatting.size_text(checkpoint.bytes),
            formatting.metrics_text(checkpoint.metrics),
            checkpoint.created_at,
        )
        for checkpoint in job_checkpoints
    )
    document = [checkpoint.fields for checkpoint in job_checkpoints]
    common.print_table(document, ("TICK", "", "NAME", "SIZE", "METRICS", "CREATED"), rows)


def _marks(checkpoint: Checkpoint) -> str:
    marks = {"best": checkpoint.is_best, "final": checkpoint.is_final, "pinned": checkpoint.pinned}
    return " ".join(word for word, is_set in marks.items() if is_set)


@click.command()
@job_argument
@click.option("--name", help="its name, at most 200 characters")
@click.option("--pinned", is_flag=True, help="keep it until it is unpinned or deleted")
@pass_common
def checkpoint(common: CommonOptions, job_id: str, *, name: str | None, pinned: bool) -> None:
    """Request a checkpoint of a running job at the end of its chunk of ticks."""
    with common.client() as client:
        print_job(common, client.job(job_id).request_checkpoint(name=name, pinned=pinned))


@click.command()
@job_argument
@click.argument("which", default="latest", metavar="[WHICH]")
@click.option("-o", "--output", metavar="PATH", help="target folder, or file [JOB-TICK(.onnx)]")
@click.option("--onnx", is_flag=True, help="its net as one ONNX file, which the server makes")
@pass_common
def download(
    common: CommonOptions, job_id: str, which: str, *, output: str | None, onnx: bool
) -> None:
    """Download a checkpoint: WHICH is a tick, or initial, latest, best or final (latest).

    Resumes an interrupted download, and verifies every file's sha256.
    """
    with common.client() as client:
        checkpoint = client.job(job_id).checkpoint(which)
        if onnx:
            _download_onnx(common, checkpoint, Path(output or f"{job_id}-{checkpoint.tick}.onnx"))
            return
        folder = Path(output or f"{job_id}-{checkpoint.tick}")
        try:
            checkpoint.download(folder)
        except OSError as error:
            raise click.FileError(str(folder), str(error)) from error
    if common.json:
        files = [str(folder / file.name) for file in checkpoint.files]
        print_json({"tick": checkpoint.tick, "folder": str(folder), "files": files})
    else:
        for file in checkpoint.files:
            size = formatting.size_text(file.bytes)
            echo(f"{file.name}  {size}  sha256 {file.sha256}", err=True)
        echo(folder)


def _download_onnx(common: CommonOptions, checkpoint: Checkpoint, file: Path) -> None:
    try:
        checkpoint.download_onnx(file)
    except OSError as error:
        raise click.FileError(str(file), str(error)) from error
    if common.json:
        print_json({"tick": checkpoint.tick, "file": str(file)})
    else:
        echo(file)
