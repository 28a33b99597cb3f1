"""tickforge status, list, watch: jobs looked at. The exit code of one job tells its outcome."""

from __future__ import annotations

import sys

import click

from tickforge_client import progress, text
from tickforge_client.commands.common import (
    Common,
    common_options,
    complain,
    job_argument,
    outcome,
    pass_common,
    show,
    show_json,
)
from tickforge_client.job import ENDED, Job

STATUSES = ("queued", "running", "paused", *ENDED)


@click.command()
@job_argument
@common_options
@pass_common
def status(common: Common, job_id: str) -> int:
    """Say how a job stands; exit code 1 if it failed or was cancelled."""
    with common.client() as client:
        job = client.job(job_id)
    if common.json:
        show_json(job.fields)
    else:
        show(text.details(job.fields))
    return outcome(job.status)


@click.command(name="list")
@click.option("--status", multiple=True, type=click.Choice(STATUSES), help="may be repeated")
@click.option("--label", multiple=True, metavar="KEY:VALUE", help="may be repeated")
@click.option("--name", help="only jobs of this name")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="go on where an earlier list ended")
@common_options
@pass_common
def list_jobs(
    common: Common,
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
    if common.json:
        show_json(page)
        return
    rows = [
        (
            job["id"],
            job["name"],
            text.condition(job),
            text.ticks(job),
            text.number(job["loss"]),
            job["created_at"],
        )
        for job in page["data"]
    ]
    show(text.table(("ID", "NAME", "STATUS", "TICK", "LOSS", "CREATED"), rows))
    if page["has_more"]:
        complain(f"more: --after {page['next_after']}")


@click.command()
@job_argument
@common_options
@pass_common
def watch(common: Common, job_id: str) -> int:
    """Show a job until it has ended; exit code 0 if it succeeded, 1 if not."""
    with common.client() as client:
        return watched(client.job(job_id), common)


def watched(job: Job, common: Common) -> int:
    """Show a job to its end and return the exit code that tells its outcome."""
    try:
        if common.json:
            job.wait()
            show_json(job.fields)
        else:
            click.echo(f"job {job.id}")
            progress.follow(job, sys.stdout)
            show(text.ending(job.fields))
    except KeyboardInterrupt:
        complain(f"\nthe job goes on: tickforge watch {job.id}, tickforge cancel {job.id}")
        raise
    return outcome(job.status)
