"""tickforge export: jobs as folders that TensorBoard or Weights & Biases read."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

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
from tickforge_client.errors import Unreachable
from tickforge_client.export_state import Export, find_export
from tickforge_client.trackers import EXPORTERS

FOLLOW_SECONDS = 2.0  # between two looks at jobs that train
#: trackers whose files grow with a job; of others a job is exported when it has ended: a second
#: `wandb sync` of a run that has grown sends the steps of the first one again
GROWING = ("tensorboard",)


@click.command(name="export")
@jobs_argument
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", "tracker", required=True, type=click.Choice(sorted(EXPORTERS)))
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
) -> None:
    """Export jobs to DIR, for tensorboard --logdir DIR or wandb sync DIR/offline-run-*.

    Each job has a folder of its own. An event file has what is there by now; called again, or with
    --follow while the job trains, it gets what is new. A run of W&B is written when its job has
    ended. Stopped at any moment, the same command goes on where it was.
    """
    if not job_ids:
        raise click.UsageError(f"at least one JOB is needed before DIR ({directory})")
    options = {"columns": columns, "lineage": "true" if lineage else None}
    query = urlencode({name: value for name, value in options.items() if value is not None})
    try:
        with common.client() as client:
            exports = [
                _find(client, directory, job_id, tracker, query)
                for job_id in dict.fromkeys(job_ids)
            ]
            exports = _export_all(client, exports, follow=follow)
    except OSError as error:
        raise click.FileError(str(directory), str(error)) from error
    except KeyboardInterrupt:
        echo("\nthe same command goes on from here", err=True)
        raise
    _print(common, exports)


def _find(client: Client, directory: Path, job_id: str, tracker: str, query: str) -> Export:
    return find_export(directory, job_id, client.job(job_id).name, tracker, query)


def _export_all(client: Client, exports: list[Export], *, follow: bool) -> list[Export]:
    """Export what is new; with `follow` again and again, until every job has ended."""
    while True:
        for place, export in enumerate(exports):
            is_due = export.tracker in GROWING or client.job(export.job_id).ended
            if is_due and not (follow and export.is_complete):
                exports[place] = _export(client, export)
        if not follow or all(export.is_complete for export in exports):
            return exports
        run(client.session.sleep(FOLLOW_SECONDS))


def _export(client: Client, export: Export) -> Export:
    """Export what is new; an answer that breaks off is asked for again, for a while."""
    backoff = client.session.new_backoff()
    while True:
        try:
            return run(EXPORTERS[export.tracker](client.session, export))
        except Unreachable as error:
            run(backoff.wait(error))


def _print(common: CommonOptions, exports: list[Export]) -> None:
    if common.json:
        rows = [
            {"job_id": one.job_id, "path": str(one.path) if one.file else None,
             "last_tick": one.tick, "complete": one.is_complete}
            for one in exports
        ]  # fmt: skip
        print_json(rows)
        return
    for one in exports:
        if not one.file:
            echo(f"{one.job_id} has not ended: its run is written when it has; see --follow")
        else:
            state = "" if one.is_complete else ", the job has not ended"
            echo(f"{one.path}  up to tick {one.tick}{state}")
