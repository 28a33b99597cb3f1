"""tickforge checkpoint, verify: have a running job saved; have recorded ticks run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tickforge_client import text
from tickforge_client.commands.common import (
    FAILED,
    Common,
    common_options,
    complain,
    job_argument,
    pass_common,
    show_json,
)
from tickforge_client.commands.move import moved
from tickforge_client.commands.watch import watched


@click.command()
@job_argument
@click.option("--name", help="what to call it, at most 200 characters")
@click.option("--pinned", is_flag=True, help="keep it until it is unpinned or deleted")
@common_options
@pass_common
def checkpoint(common: Common, job_id: str, *, name: str | None, pinned: bool) -> None:
    """Have a running job saved at the end of its chunk of ticks."""
    with common.client() as client:
        moved(common, client.job(job_id).save(name=name, pinned=pinned))


@click.command()
@job_argument
@click.option("--from", "start", type=click.IntRange(0), default=0, help="tick of a checkpoint [0]")
@click.option("--to", type=click.IntRange(1), help="the last tick to compare [the last accepted]")
@click.option("--watch", is_flag=True, help="show it until it has ended; exit code 0: all equal")
@common_options
@pass_common
def verify(common: Common, job_id: str, *, start: int, to: int | None, watch: bool) -> int:
    """Run a job's ticks again on an equal machine, compare every bit, and print the verify's id."""
    with common.client() as client:
        job = client.job(job_id).verify(start=start, to=to)
        if watch:
            code, result = watched(job, common), job.fields.get("result")
            return code if result is None else _told(result, common)
    if common.json:
        show_json(job.fields)
    else:
        click.echo(job.id)
    return 0


def _told(result: Mapping[str, Any], common: Common) -> int:
    """Say what the certificate says; the exit code tells whether all was equal."""
    first = result["first_difference"]
    if not common.json:
        ticks, digests = result["ticks_compared"], result["digests_compared"]
        click.echo(f"{result['verdict']}: {ticks:,} ticks and {digests:,} states compared")
    if first is not None:
        values = " and ".join(str((first[at] or {}).get("bits")) for at in _BOTH)
        complain(f"{text.plain(first['column'])} of tick {first['tick']} differs: {values}")
    return FAILED if first is not None else 0


_BOTH = ("recorded", "recomputed")
