"""tickforge cancel, stop, pause, resume, delete: actions on a job."""

from __future__ import annotations

from collections.abc import Callable

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    confirm,
    job_argument,
    pass_common,
    yes_option,
)
from tickforge_client.job import Job


def print_job(common: CommonOptions, job: Job) -> None:
    """Print a job as the server returned it: one line, or JSON."""
    common.print_result(job.fields, f"{job.id} {formatting.progress_line(job.fields)}")


def _action_command(action: Callable[[Job], Job], help_text: str) -> click.Command:
    """Return the command that requests an action of a job, and prints the job."""

    @click.command(action.__name__, help=help_text)
    @job_argument
    @pass_common
    def request(common: CommonOptions, job_id: str) -> None:
        with common.client() as client:
            print_job(common, action(client.job(job_id)))

    return request


cancel = _action_command(Job.cancel, "End a job as cancelled; its checkpoints stay.")
stop = _action_command(
    Job.stop, "End a job early as succeeded, with a final validation and checkpoint."
)
pause = _action_command(Job.pause, "Save a job at its current tick and free its worker.")
resume = _action_command(Job.resume, "Continue a paused job.")


@click.command()
@job_argument
@yes_option
@pass_common
def delete(common: CommonOptions, job_id: str, *, yes: bool) -> None:
    """Delete an ended job, its history and its checkpoints permanently."""
    confirm(f"Remove {job_id} with its history and checkpoints?", yes=yes)
    with common.client() as client:
        client.job(job_id).delete()
    common.print_result({"id": job_id, "deleted": True}, f"{job_id} deleted")
