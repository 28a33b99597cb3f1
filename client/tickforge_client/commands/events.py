"""tickforge events, logs: what happened to a job, and what its workers said."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from tickforge_client import events, logs, text
from tickforge_client.commands.common import (
    Common,
    common_options,
    job_argument,
    outcome,
    pass_common,
    show,
    show_json,
)
from tickforge_client.events import Event


@click.command(name="events")
@job_argument
@click.option("--follow", is_flag=True, help="as they happen, to the job's end")
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="beyond this number")
@common_options
@pass_common
def show_events(common: Common, job_id: str, *, follow: bool, after: int) -> int:
    """List what happened to a job; followed to its end, the exit code tells its outcome."""
    with common.client() as client:
        if not follow:
            found = events.read(client.session, job_id, after)
            if common.json:
                show_json([asdict(each) for each in found])
            else:
                show(map(_line, found))
            return 0
        for event in events.follow(client.session, job_id, after):
            if event.type != "ticks":
                click.echo(json.dumps(asdict(event)) if common.json else _line(event))
        return outcome(client.job(job_id).status)


@click.command(name="logs")
@job_argument
@click.option("--follow", is_flag=True, help="as it grows, to the job's end")
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="BYTE", help="leave out so many"
)
@common_options
@pass_common
def show_logs(common: Common, job_id: str, *, follow: bool, after: int) -> None:
    """Print what a job's workers said about it."""
    with common.client() as client:
        if common.json and not follow:
            log = logs.read(client.session, job_id, after)
            told = {"text": log.text.decode(errors="replace"), "next_after": log.next_after}
            show_json({**told, "complete": log.complete})
            return
        pieces = (
            logs.follow(client.session, job_id, after)
            if follow
            else [logs.read(client.session, job_id, after).text]
        )
        for piece in pieces:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


def _line(event: Event) -> str:
    told = {name: value for name, value in event.data.items() if value not in (None, False)}
    if event.type == "log":
        words = [str(told.get("level", "")), str(told.get("message", ""))]
    elif event.type == "status":
        words = [str(told.pop("status"))]
        error = told.pop("error", None)
        words += [f"{name} {value}" for name, value in told.items()]
        words += [f"{error['type']}: {error['detail']}"] if error else []
    else:
        metrics = told.pop("metrics", {})
        words = [f"tick {told.pop('tick'):,}", *told]
        words += [f"{name} {text.number(value)}" for name, value in metrics.items()]
    return text.plain(f"{event.seq:>4}  {event.at}  {event.type:<10}  {'  '.join(words)}")
