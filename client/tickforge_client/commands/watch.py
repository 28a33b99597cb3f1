"""tickforge status, list, watch: show jobs. The exit code reports the outcome of one job."""

from __future__ import annotations

import sys

import click

from tickforge_client import formatting, progress
from tickforge_client.commands.common import (
    CommonOptions,
    echo,
    exit_code,
    job_argument,
    pass_common,
    print_json,
    print_lines,
)
from tickforge_client.events import TERMINAL_STATUSES
from tickforge_client.job import Job

STATUSES = ("queued", "running", "paused", *TERMINAL_STATUSES)


@click.command()
@job_argument
@pass_common
def status(common: CommonOptions, job_id: str) -> int:
    """Show a job's status; exit code 1 if it failed or was cancelled."""
    with common.client() as client:
        job = client.job(job_id)
    if common.json:
        print_json(job.fields)
    else:
        print_lines(formatting.detail_lines(job.fields))
    return exit_code(job.status)


@click.command(name="list")
@click.option("--status", multiple=True, type=click.Choice(STATUSES), help="may be repeated")
@click.option("--label", multiple=True, metavar="KEY:VALUE", help="may be repeated")
@click.option("--name", help="only jobs of this name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="continue an earlier list")
@pass_common
def list_jobs(
    common: CommonOptions,
    *,
    status: tuple[str, ...],
    label: tuple[str, ...],
    name: str | None,
    limit: int,
    after: str | None,
) -> None:
    """List jobs, the newest first."""
    with common.client() as client:
        page = client.page(status=status, label=label, name=name, limit=limit, after=after)
    rows = (
        (
            job["id"],
            job["name"],
            formatting.status_text(job),
            formatting.ticks_text(job),
            formatting.number_text(job["loss"]),
            job["created_at"],
        )
        for job in page["data"]
    )
    common.print_page(page, ("ID", "NAME", "STATUS", "TICK", "LOSS", "CREATED"), rows)


@click.command()
@job_argument
@pass_common
def watch(common: CommonOptions, job_id: str) -> int:
    """Show a job until it has ended; exit code 0 if it succeeded, 1 if not."""
    with common.client() as client:
        return watch_job(client.job(job_id), common)


def watch_job(job: Job, common: CommonOptions) -> int:
    """Show a job until it has ended; return the exit code for its outcome."""
    try:
        if common.json:
            job.wait()
            print_json(job.fields)
        else:
            echo(f"job {job.id}")
            progress.show_progress(job, sys.stdout)
            print_lines(formatting.result_lines(job.fields))
    except KeyboardInterrupt:
        hint = f"\nthe job goes on: tickforge watch {job.id}, tickforge cancel {job.id}"
        echo(hint, err=True)
        raise
    return exit_code(job.status)
