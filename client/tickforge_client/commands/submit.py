"""tickforge submit, plan: a spec from a file handed to the server. Judges no spec itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from tickforge_client import text
from tickforge_client.commands.common import (
    Common,
    common_options,
    complain,
    pass_common,
    show,
    show_json,
)
from tickforge_client.commands.watch import watched


def _spec(_context: click.Context, _parameter: click.Parameter, value: str) -> dict[str, Any]:
    """Read a file's JSON object; a fault is a usage error that says where."""
    try:
        read = sys.stdin.buffer.read() if value == "-" else Path(value).read_bytes()
        spec = json.loads(read, parse_constant=_refuse)
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{value}: not JSON: {error}") from error
    if not isinstance(spec, dict):
        raise click.BadParameter(f"{value}: a spec is a JSON object")
    return spec


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


spec_argument = click.argument("spec", metavar="SPEC.json", callback=_spec)


@click.command()
@spec_argument
@click.option("--watch", is_flag=True, help="show it until it has ended; exit code: its outcome")
@click.option("--name", help="instead of the spec's name")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="beside the spec's")
@click.option("--idempotency-key", metavar="KEY", help="the same key makes one job, ever")
@common_options
@pass_common
def submit(
    common: Common,
    spec: dict[str, Any],
    *,
    watch: bool,
    name: str | None,
    labels: tuple[str, ...],
    idempotency_key: str | None,
) -> int:
    """Hand in a job and print its id. SPEC.json may be - for standard input."""
    if name is not None:
        spec["name"] = name
    if labels:
        spec["labels"] = {**_mapping(spec.get("labels")), **dict(map(_pair, labels))}
    with common.client() as client:
        job = client.submit(spec, idempotency_key=idempotency_key)
        if watch:
            return watched(job, common)
    if common.json:
        show_json(job.fields)
    else:
        click.echo(job.id)
        if sys.stderr.isatty():
            complain(f"see it train: tickforge watch {job.id}")
    return 0


@click.command()
@spec_argument
@common_options
@pass_common
def plan(common: Common, spec: dict[str, Any]) -> None:
    """Say what a spec would come to, without storing anything."""
    with common.client() as client:
        found = client.plan(spec)
    if common.json:
        show_json(found)
        return
    engine = _mapping(found.get("engine"))
    show(
        text.facts(
            {
                "ticks": _grouped(found.get("ticks_total")),
                "ticks per epoch": _grouped(found.get("ticks_per_epoch")),
                "parameters": _grouped(found.get("parameters")),
                **{
                    name.removesuffix("_bytes"): text.size(round(found[name]))
                    for name in ("memory_bytes", "checkpoint_bytes", "history_bytes")
                    if found.get(name) is not None
                },
                "engine": f"{engine.get('likely', '-')}: {engine.get('why', '')}",
                "time": text.seconds(found.get("seconds")),
            }
        )
    )
    show(f"warning: {text.plain(warning)}" for warning in found.get("warnings", []))


def _grouped(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _pair(label: str) -> tuple[str, str]:
    key, colon, value = label.partition(":")
    if not colon or not key:
        raise click.BadParameter(f"{label!r}: KEY:VALUE is accepted", param_hint="--label")
    return key, value
