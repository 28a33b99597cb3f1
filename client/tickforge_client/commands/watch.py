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
    jobs_argument,
    pass_common,
    print_json,
    print_lines,
)
from tickforge_client.commands.failures import JobFailures
from tickforge_client.commands.watch_several import select_jobs, watch_several
from tickforge_client.events import TERMINAL_STATUSES
from tickforge_client.job import Job

LIVE_STATUSES = ("queued", "running", "paused")
STATUSES = (*LIVE_STATUSES, *TERMINAL_STATUSES)


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
@jobs_argument
@click.option("--all", "live", is_flag=True, help="all jobs that are queued, running or paused")
@click.option("--status", multiple=True, type=click.Choice(STATUSES), help="may be repeated")
@click.option("--label", multiple=True, metavar="KEY:VALUE", help="may be repeated")
@pass_common
def watch(
    common: CommonOptions,
    job_ids: tuple[str, ...],
    *,
    live: bool,
    status: tuple[str, ...],
    label: tuple[str, ...],
) -> int:
    """Show jobs until all have ended: those named, and those that the options select now.

    One named job is shown with its curve; several, or selected ones, with a line each. With --label
    jobs that have ended count, too, unless --status or --all leaves them out.

    Exit code: 0 if all succeeded (or --all found none), 1 if one failed or was cancelled, 2 if one
    is not there, was deleted meanwhile, or nothing was selected, 130 after Ctrl-C, which leaves the
    jobs running.
    """
    if not (job_ids or live or status or label):
        raise click.UsageError("at least one JOB, or --all, --status or --label is needed")
    is_one = len(set(job_ids)) == 1 and not (live or status or label)
    with common.client() as client:
        jobs, failures = list[Job](), JobFailures(common)
        for job_id in dict.fromkeys(job_ids):
            with failures.collect(job_id):
                jobs.append(client.job(job_id))
        if is_one and jobs:
            return watch_job(jobs[0], common)
        if live or status or label:
            statuses = {*status, *(LIVE_STATUSES if live else ())}
            jobs = select_jobs(client, jobs, status=sorted(statuses), label=label)
        if not jobs and live and not label:
            common.print_result([], "no job is queued, running or paused")
            return failures.exit_code
        if not jobs and failures.job_ids:
            return failures.exit_code
        return max(failures.exit_code, watch_several(jobs, common))


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
