"""tickforge export: jobs as folders that TensorBoard or Weights & Biases read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from tickforge_client.blocking import run
from tickforge_client.client import Client
from tickforge_client.commands.common import (
    CommonOptions,
    echo,
    jobs_argument,
    pass_common,
    print_json,
)
from tickforge_client.commands.failures import JobFailures
from tickforge_client.export_state import Export
from tickforge_client.job_exports import GROWING, TRACKERS, describe, open_export, write_new

FOLLOW_SECONDS = 2.0  # between two looks at jobs that train


@click.command(name="export")
@jobs_argument
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", "tracker", required=True, type=click.Choice(TRACKERS))
@click.option("--follow", is_flag=True, help="go on until every job has ended")
@click.option("--columns", help="names with commas between [every metric]")
@click.option("--lineage", is_flag=True, help="of a fork: the ticks before its own too")
@pass_common
def export_jobs(
    common: CommonOptions,
    *,
    job_ids: tuple[str, ...],
    directory: Path,
    tracker: str,
    follow: bool,
    columns: str | None,
    lineage: bool,
) -> int:
    """Export jobs to DIR, for tensorboard --logdir DIR or wandb sync DIR/offline-run-*.

    Each job has a folder of its own. An event file has what is there by now; called again, or with
    --follow while the job trains, it gets what is new. A run of W&B is written when its job has
    ended. Stopped at any moment, the same command goes on where it was.

    Where one of several jobs cannot be exported, the others are, and the exit code is 2.
    """
    if not job_ids:
        raise click.UsageError(f"at least one JOB is needed before DIR ({directory})")
    failures, exports = JobFailures(common), dict[str, Export]()
    try:
        with common.client() as client:
            for job_id in dict.fromkeys(job_ids):
                with failures.collect(job_id):
                    name = client.job(job_id).name
                    opened = open_export(
                        client.session, job_id, name, directory, tracker, columns, lineage=lineage
                    )
                    exports[job_id] = run(opened)
            _export_all(client, exports, failures, follow=follow)
    except KeyboardInterrupt:
        echo("\nthe same command goes on from here", err=True)
        raise
    _print(common, exports)
    return failures.exit_code


def _export_all(
    client: Client, exports: dict[str, Export], failures: JobFailures, *, follow: bool
) -> None:
    """Export what is new; with `follow` again and again, until every job has ended or failed."""
    due = [job_id for job_id, export in exports.items() if not (follow and export.is_complete)]
    while due:
        for job_id in due:
            with failures.collect(job_id):
                export = exports[job_id]
                has_ended = export.tracker in GROWING or client.job(job_id).ended
                exports[job_id] = run(write_new(client.session, export, has_ended=has_ended))
        if not follow:
            return
        is_over = {job_id for job_id in due if exports[job_id].is_complete} | failures.job_ids
        due = [job_id for job_id in due if job_id not in is_over]
        if due:
            run(client.session.sleep(FOLLOW_SECONDS))


def _print(common: CommonOptions, exports: Mapping[str, Export]) -> None:
    exported = {job_id: describe(export) for job_id, export in exports.items()}
    if common.json:
        rows = [
            {"job_id": job_id, **one._asdict(), "path": str(one.path) if one.path else None}
            for job_id, one in exported.items()
        ]
        print_json(rows)
        return
    for job_id, one in exported.items():
        if one.path is None:
            echo(f"{job_id} has not ended: its run is written when it has; see --follow")
        else:
            state = "" if one.complete else ", the job has not ended"
            echo(f"{one.path}  up to tick {one.last_tick}{state}")
