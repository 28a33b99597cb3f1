"""tickforge cancel, stop, pause, resume, delete: actions on a job."""

from __future__ import annotations

import sys

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    common_options,
    job_argument,
    pass_common,
    print_json,
)
from tickforge_client.job import Job


def print_job(common: CommonOptions, job: Job) -> None:
    """Print a job as the server returned it: one line, or JSON."""
    if common.json:
        print_json(job.fields)
    else:
        click.echo(f"{job.id} {formatting.progress_line(job.fields)}")


@click.command()
@job_argument
@common_options
@pass_common
def cancel(common: CommonOptions, job_id: str) -> None:
    """End a job as cancelled; its checkpoints stay."""
    with common.client() as client:
        print_job(common, client.job(job_id).cancel())


@click.command()
@job_argument
@common_options
@pass_common
def stop(common: CommonOptions, job_id: str) -> None:
    """End a job early as succeeded, with a final validation and checkpoint."""
    with common.client() as client:
        print_job(common, client.job(job_id).stop())


@click.command()
@job_argument
@common_options
@pass_common
def pause(common: CommonOptions, job_id: str) -> None:
    """Save a job at its current tick and free its worker."""
    with common.client() as client:
        print_job(common, client.job(job_id).pause())


@click.command()
@job_argument
@common_options
@pass_common
def resume(common: CommonOptions, job_id: str) -> None:
    """Continue a paused job."""
    with common.client() as client:
        print_job(common, client.job(job_id).resume())


@click.command()
@job_argument
@click.option("--yes", is_flag=True, help="do not ask")
@common_options
@pass_common
def delete(common: CommonOptions, job_id: str, *, yes: bool) -> None:
    """Delete an ended job, its history and its checkpoints permanently."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Remove {job_id} with its history and checkpoints?", abort=True, err=True)
    with common.client() as client:
        client.job(job_id).delete()
    if common.json:
        print_json({"id": job_id, "deleted": True})
    else:
        click.echo(f"{job_id} deleted")
