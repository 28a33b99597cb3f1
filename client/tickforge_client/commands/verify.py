"""tickforge verify: re-run a job's recorded ticks and compare them bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    EXIT_FAILED,
    CommonOptions,
    echo,
    job_argument,
    pass_common,
)
from tickforge_client.commands.watch import watch_job


@click.command()
@job_argument
@click.option("--from", "start", type=click.IntRange(0), default=0, help="tick of a checkpoint [0]")
@click.option("--to", type=click.IntRange(1), help="the last tick to compare [the last accepted]")
@click.option("--watch", is_flag=True, help="show it until it has ended; exit code 0: all equal")
@pass_common
def verify(common: CommonOptions, job_id: str, *, start: int, to: int | None, watch: bool) -> int:
    """Re-run a job's ticks, compare every bit, and print the id of the job that does so."""
    with common.client() as client:
        job = client.job(job_id).verify(start=start, to=to)
        if watch:
            code, result = watch_job(job, common), job.fields.get("result")
            return code if result is None else _print_verdict(result, common)
    common.print_result(job.fields, job.id)
    return 0


def _print_verdict(result: Mapping[str, Any], common: CommonOptions) -> int:
    """Print a certificate's verdict; return the exit code: 0 if all was equal, else 1."""
    difference = result["first_difference"]
    if not common.json:
        ticks, digests = result["ticks_compared"], result["digests_compared"]
        echo(f"{result['verdict']}: {ticks:,} ticks and {digests:,} states compared")
    if difference is not None:
        column, tick = formatting.plain_text(difference["column"]), difference["tick"]
        bits = [str((difference[side] or {}).get("bits")) for side in ("recorded", "recomputed")]
        echo(f"{column} of tick {tick} differs: {' and '.join(bits)}", err=True)
    for name in result.get("damaged_files", []):
        echo(f"{formatting.plain_text(name)} is not what was recorded", err=True)
    return 0 if result["verdict"] == "equal" else EXIT_FAILED
