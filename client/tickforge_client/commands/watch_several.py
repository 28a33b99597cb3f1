"""The part of `tickforge watch` for several jobs: which ones, and their outcome as one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice

import click

from tickforge_client import formatting, progress_board
from tickforge_client.client import Client
from tickforge_client.commands.common import (
    CommonOptions,
    echo,
    exit_code,
    print_json,
    print_lines,
)
from tickforge_client.job import Job
from tickforge_client.watched_jobs import WatchedJob, follow

EXIT_DELETED = 2  #: exit code where a job was deleted before its end was seen
#: jobs that are watched at once: each is then asked for every 10 seconds
MAX_WATCHED_JOBS = 200


def select_jobs(
    client: Client, named: Sequence[Job], *, status: Sequence[str], label: Sequence[str]
) -> list[Job]:
    """Return the named jobs, then those that match. Raises UsageError if too many do."""
    jobs = {job.id: job for job in named}
    for job in islice(client.jobs(status=status, label=label), MAX_WATCHED_JOBS + 1):
        jobs.setdefault(job.id, job)
    if len(jobs) > MAX_WATCHED_JOBS:
        raise click.UsageError(
            f"more than {MAX_WATCHED_JOBS} jobs match: --label and --status select fewer"
        )
    return list(jobs.values())


def watch_several(jobs: Sequence[Job], common: CommonOptions) -> int:
    """Show jobs until all are over; return the exit code for their outcomes.

    Raises UsageError where there are none.
    """
    if not jobs:
        raise click.UsageError("no job matches")
    watched = [WatchedJob(job) for job in jobs]
    try:
        if common.json:
            for _ in follow(watched, with_losses=False):
                pass
        else:
            progress_board.show_several(watched, sys.stdout)
    except KeyboardInterrupt:
        echo("\nthe jobs go on: tickforge watch shows them again", err=True)
        raise
    if common.json:
        print_json([one.job.fields for one in watched])
    else:
        head = "ID", "NAME", "STATUS", "TICK", "RESULT"
        print_lines(formatting.table_lines(head, list(map(_row, watched))))
    for one in watched:
        if one.is_deleted:
            echo(f"{one.job.id} was deleted; it was last seen {one.job.status}", err=True)
    return max(_exit_code(one) for one in watched)


def _row(one: WatchedJob) -> list[object]:
    fields = one.job.fields
    status = "deleted" if one.is_deleted else formatting.status_text(fields)
    if error := fields["error"]:
        result = f"{error['type']}: {error['detail']}"
    else:
        result = formatting.metrics_text({"loss": fields["loss"], **fields["metrics"]})
    return [one.job.id, one.job.name, status, formatting.ticks_text(fields), result]


def _exit_code(one: WatchedJob) -> int:
    return EXIT_DELETED if one.is_deleted else exit_code(one.job.status)
