"""tickforge models, workers, version: information on the service itself."""

from __future__ import annotations

from collections.abc import Mapping

import click

from tickforge_client import formatting
from tickforge_client._version import __version__
from tickforge_client.commands.common import (
    CommonOptions,
    pass_common,
    print_json,
    print_lines,
)


@click.command()
@pass_common
def models(common: CommonOptions) -> None:
    """List the model families with their objectives; --json has the schema of each."""
    with common.client() as client:
        page = client.models()
    rows = (
        (family["family"], ", ".join(family.get("objectives", [])), family.get("description", ""))
        for family in page["data"]
    )
    common.print_table(page, ("FAMILY", "OBJECTIVES", ""), rows)


@click.command()
@pass_common
def workers(common: CommonOptions) -> None:
    """List the live workers and the jobs they train."""
    with common.client() as client:
        page = client.workers()
    rows = (
        (
            worker.get("name", ""),
            worker.get("queue", ""),
            formatting.device_text(worker),
            formatting.occupation_text(worker),
            formatting.number_text(worker.get("ticks_per_second")),
            ", ".join(worker.get("engines") or []),
        )
        for worker in page["data"]
    )
    common.print_table(page, ("WORKER", "QUEUE", "DEVICE", "JOB", "TICKS/S", "ENGINES"), rows)
    errors = {worker.get("name", ""): worker.get("device_error") for worker in page["data"]}
    if not common.json:
        print_lines(f"{name}: {error}" for name, error in errors.items() if error)


@click.command()
@pass_common
def version(common: CommonOptions) -> None:
    """Show the versions of this client and of the service."""
    with common.client() as client:
        versions = client.version()
    if common.json:
        print_json({"client": __version__, "server": versions})
        return
    properties = {
        name: value if not isinstance(value, list) else ", ".join(map(str, value))
        for name, value in versions.items()
        if not isinstance(value, Mapping)
    }
    print_lines(formatting.key_value_lines({"client": __version__, **properties}))
