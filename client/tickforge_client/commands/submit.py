"""tickforge submit, plan: send a spec from a file to the server. Validates no spec itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    echo,
    parse_labels,
    pass_common,
    print_json,
    print_lines,
)
from tickforge_client.commands.watch import watch_job


def _read_spec(_context: click.Context, _parameter: click.Parameter, value: str) -> dict[str, Any]:
    """Read a JSON object from a file, "-" for standard input. Raises BadParameter."""
    try:
        content = sys.stdin.buffer.read() if value == "-" else Path(value).read_bytes()
        spec = json.loads(content, parse_constant=_refuse_constant)
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{value}: not JSON: {error}") from error
    if not isinstance(spec, dict):
        raise click.BadParameter(f"{value}: a spec is a JSON object")
    return spec


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


spec_argument = click.argument("spec", metavar="SPEC.json", callback=_read_spec)


@click.command()
@spec_argument
@click.option("--watch", is_flag=True, help="show it until it has ended; exit code: its outcome")
@click.option("--name", help="instead of the spec's name")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY:VALUE",
    help="in addition to the spec's; repeatable",
)
@click.option("--idempotency-key", metavar="KEY", help="the same key makes one job, ever")
@pass_common
def submit(
    common: CommonOptions,
    spec: dict[str, Any],
    *,
    watch: bool,
    name: str | None,
    labels: tuple[str, ...],
    idempotency_key: str | None,
) -> int:
    """Submit a job and print its id. SPEC.json may be - for standard input."""
    if name is not None:
        spec["name"] = name
    if labels:
        own_labels = _mapping_or_empty(spec.get("labels"))
        spec["labels"] = {**own_labels, **parse_labels(labels)}
    with common.client() as client:
        job = client.submit(spec, idempotency_key=idempotency_key)
        if watch:
            return watch_job(job, common)
    common.print_result(job.fields, job.id)
    if sys.stderr.isatty() and not common.json:
        echo(f"see it train: tickforge watch {job.id}", err=True)
    return 0


@click.command()
@spec_argument
@pass_common
def plan(common: CommonOptions, spec: dict[str, Any]) -> None:
    """Estimate a spec's time, memory and engine, without storing anything."""
    with common.client() as client:
        estimate = client.plan(spec)
    if common.json:
        print_json(estimate)
        return
    engine = _mapping_or_empty(estimate.get("engine"))
    properties = {
        "ticks": formatting.count_text(estimate.get("ticks_total")),
        "ticks per epoch": formatting.count_text(estimate.get("ticks_per_epoch")),
        "parameters": formatting.count_text(estimate.get("parameters")),
    }
    for part in ("memory", "checkpoint", "history"):
        if (size := estimate.get(f"{part}_bytes")) is not None:
            properties[part] = formatting.size_text(round(size))
    properties["engine"] = f"{engine.get('likely', '-')}: {engine.get('why', '')}"
    properties["time"] = formatting.duration_text(estimate.get("seconds"))
    print_lines(formatting.key_value_lines(properties))
    for warning in estimate.get("warnings", []):
        echo(f"warning: {formatting.plain_text(warning)}")


def _mapping_or_empty(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
