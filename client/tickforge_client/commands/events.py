"""tickforge events, logs: a job's events and its log."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial

import click

from tickforge_client import events, formatting, logs
from tickforge_client.blocking import iterate, run
from tickforge_client.commands.common import (
    CommonOptions,
    byte_printer,
    echo,
    exit_code,
    job_argument,
    pass_common,
    print_json,
    print_lines,
)
from tickforge_client.events import Event

after_option = partial(click.option, "--after", type=click.IntRange(0), default=0)


@click.command(name="events")
@job_argument
@click.option("--follow", is_flag=True, help="as they happen, until the job has ended")
@after_option(metavar="N", help="only events after number N")
@pass_common
def show_events(common: CommonOptions, job_id: str, *, follow: bool, after: int) -> int:
    """List a job's events; with --follow the exit code is 1 if it failed or was cancelled."""
    with common.client() as client:
        if not follow:
            past_events = run(events.read(client.session, job_id, after))
            if common.json:
                print_json([asdict(item) for item in past_events])
            else:
                print_lines(map(_event_line, past_events))
            return 0
        for event in iterate(events.follow(client.session, job_id, after)):
            if event.type != "ticks":
                echo(json.dumps(asdict(event)) if common.json else _event_line(event))
        return exit_code(client.job(job_id).status)


@click.command(name="logs")
@job_argument
@click.option("--follow", is_flag=True, help="as it grows, until the job has ended")
@after_option(metavar="BYTE", help="skip the first BYTE bytes")
@pass_common
def show_logs(common: CommonOptions, job_id: str, *, follow: bool, after: int) -> None:
    """Print a job's log."""
    with common.client() as client:
        if follow:
            print_bytes = byte_printer()
            for piece in iterate(logs.follow(client.session, job_id, after)):
                print_bytes(piece)
            return
        log = run(logs.read(client.session, job_id, after))
    if common.json:
        payload = {"text": log.text.decode(errors="replace"), "next_after": log.next_after}
        print_json({**payload, "complete": log.complete})
    else:
        byte_printer()(log.text)


def _event_line(event: Event) -> str:
    details = {name: value for name, value in event.data.items() if value not in (None, False)}
    if event.type == "log":
        words = [str(details.get("level", "")), str(details.get("message", ""))]
    elif event.type == "status":
        words = [str(details.pop("status"))]
        error = details.pop("error", None)
        words += [f"{name} {value}" for name, value in details.items()]
        words += [f"{error['type']}: {error['detail']}"] if error else []
    elif event.type == "condition":
        value = formatting.number_text(event.data["value"])
        words = [f"tick {event.data['tick']:,}", f"{event.data['condition']}: {value}"]
    else:
        metrics = details.pop("metrics", {})
        words = [f"tick {details.pop('tick'):,}", *details]
        words += [f"{name} {formatting.number_text(value)}" for name, value in metrics.items()]
    text = "  ".join(words)
    return formatting.plain_text(f"{event.seq:>4}  {event.at}  {event.type:<10}  {text}")
