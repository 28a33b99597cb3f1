"""tickforge fork, extend: go on from a checkpoint of a job as a new job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from tickforge_client.commands.common import CommonOptions, job_argument, pass_common
from tickforge_client.commands.watch import watch_job
from tickforge_client.job import Job

watch_option = click.option(
    "--watch", is_flag=True, help="show it until it has ended; exit code: its outcome"
)
idempotency_option = click.option(
    "--idempotency-key", metavar="KEY", help="the same key makes one job, ever"
)


@click.command()
@job_argument
@click.option("--tick", type=click.IntRange(0), help="of a kept checkpoint [the newest]")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="of its spec, as optimizer.lr=0.001; VALUE is JSON or a text, null a default; repeatable",
)
@watch_option
@idempotency_option
@pass_common
def fork(
    common: CommonOptions,
    job_id: str,
    *,
    tick: int | None,
    changes: tuple[str, ...],
    watch: bool,
    idempotency_key: str | None,
) -> int:
    """Go on from a checkpoint as a new job, with a changed spec, and print the new job's id."""
    patch = parse_changes(changes)
    with common.client() as client:
        job = client.job(job_id).fork(tick, patch, idempotency_key=idempotency_key)
        return _finish(job, common, watch=watch)


@click.command()
@job_argument
@click.option("--ticks", type=click.IntRange(1), help="of the whole line, from its tick 0")
@click.option("--epochs", type=click.IntRange(1), help="likewise")
@click.option("--seconds", type=click.FloatRange(1), help="of training, likewise")
@watch_option
@idempotency_option
@pass_common
def extend(
    common: CommonOptions,
    job_id: str,
    *,
    ticks: int | None,
    epochs: int | None,
    seconds: float | None,
    watch: bool,
    idempotency_key: str | None,
) -> int:
    """Go on from a job's end as a new job, up to a larger budget, and print the new job's id."""
    limits = {"ticks": ticks, "epochs": epochs, "seconds": seconds}
    budget = {name: value for name, value in limits.items() if value is not None}
    if not budget:
        raise click.UsageError("at least one of --ticks, --epochs and --seconds is needed")
    with common.client() as client:
        job = client.job(job_id).extend(budget, idempotency_key=idempotency_key)
        return _finish(job, common, watch=watch)


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Parse PATH=VALUE texts into one merge patch. Raises BadParameter."""
    patch: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        *parents, name = path.split(".")
        if not equals or not all([*parents, name]):
            raise click.BadParameter(f"{change!r}: PATH=VALUE is accepted", param_hint="--set")
        target = patch
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise click.BadParameter(f"{change!r}: {parent} has a value", param_hint="--set")
        target[name] = _parse_value(text)
    return patch


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _finish(job: Job, common: CommonOptions, *, watch: bool) -> int:
    if watch:
        return watch_job(job, common)
    common.print_result(job.fields, job.id)
    return 0
