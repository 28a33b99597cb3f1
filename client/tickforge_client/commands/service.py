"""tickforge models, workers, version: the service itself."""

from __future__ import annotations

from collections.abc import Mapping

import click

import tickforge_client
from tickforge_client import text
from tickforge_client.commands.common import (
    Common,
    common_options,
    pass_common,
    show,
    show_json,
)


@click.command()
@common_options
@pass_common
def models(common: Common) -> None:
    """List the model families with their objectives; --json has the schema of each."""
    with common.client() as client:
        found = client.models()
    if common.json:
        show_json(found)
        return
    rows = [
        (
            each["family"],
            ", ".join(each.get("objectives", [])),
            each.get("description", ""),
        )
        for each in found["data"]
    ]
    show(text.table(("FAMILY", "OBJECTIVES", ""), rows))


@click.command()
@common_options
@pass_common
def workers(common: Common) -> None:
    """List the live workers and what they train."""
    with common.client() as client:
        found = client.workers()
    if common.json:
        show_json(found)
        return
    rows = [
        (
            each.get("name", ""),
            each.get("queue", ""),
            each.get("device") or "",
            each.get("job") or ("busy" if each.get("busy") else "idle"),
            text.number(each.get("ticks_per_second")),
            ", ".join(each.get("engines") or []),
        )
        for each in found["data"]
    ]
    show(text.table(("WORKER", "QUEUE", "DEVICE", "JOB", "TICKS/S", "ENGINES"), rows))


@click.command()
@common_options
@pass_common
def version(common: Common) -> None:
    """Say the versions of this client and of the service."""
    with common.client() as client:
        found = client.version()
    if common.json:
        show_json({"client": tickforge_client.__version__, "server": found})
        return
    told = {
        name: value if not isinstance(value, list) else ", ".join(map(str, value))
        for name, value in found.items()
        if not isinstance(value, Mapping)
    }
    show(text.facts({"client": tickforge_client.__version__, **told}))
