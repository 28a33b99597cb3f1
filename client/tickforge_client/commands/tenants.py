"""tickforge usage, tenants list/show/set/events, jobs delete: what tenants may have and use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    Function,
    confirm,
    pass_common,
    print_json,
    print_lines,
    yes_option,
)

QUOTAS = ("queued", "running", "spec_bytes", "dataset_bytes", "artifact_bytes")
ANSWER_LIMITS = ("queued_answers", "answer_bytes")  # that the service alone sets
RULES = ("keep_days", "keep_last")
REMOVED = "none"


def _parse_number_or_none(text: str) -> int | str:
    """Parse an option's value. Raises BadParameter."""
    if text != REMOVED and not (text.isascii() and text.isdigit()):
        raise click.BadParameter(f"{text!r} is neither a whole number nor {REMOVED}")
    return text if text == REMOVED else int(text)


@click.command()
@click.option("--tenant", metavar="NAME", help="another tenant's, for admins")
@click.option("--events", is_flag=True, help="what retention deleted, the newest last")
@pass_common
def usage(common: CommonOptions, *, tenant: str | None, events: bool) -> None:
    """Show what your tenant uses of its quotas, and how long its ended jobs stay."""
    with common.client() as client:
        if events:
            deletions = list(client.usage_events(tenant=tenant))
            rows = (
                (event["at"], event["data"]["job"], event["data"]["name"], event["data"]["rule"])
                for event in deletions
            )
            common.print_table(deletions, ("DELETED", "JOB", "NAME", "RULE"), rows)
            return
        used = client.usage(tenant=tenant)
    if common.json:
        print_json(used)
    else:
        _print_usage(used)


def _print_usage(used: Mapping[str, Any]) -> None:
    count = formatting.count_text
    names = [name for name in (*QUOTAS, *ANSWER_LIMITS) if name in used]  # else an older server's
    rows = [(name, count(used[name]["used"]), count(used[name]["limit"])) for name in names]
    print_lines(formatting.table_lines(("QUOTA", "USED", "LIMIT"), rows))
    rules = {name: value for name, value in used["retention"].items() if value is not None}
    stay = ", ".join(f"{name} {value}" for name, value in rules.items())
    click.echo(f"ended jobs stay: {stay or 'all'}")


@click.group()
def tenants() -> None:
    """Quotas and retention of tenants; needs a key of scope admin."""


@tenants.command("list")
@pass_common
def list_tenants(common: CommonOptions) -> None:
    """List the tenants that ever had a job, a dataset or settings."""
    with common.client() as client:
        names = client.tenants()
    common.print_table(names, ("TENANT",), ((name,) for name in names))


@tenants.command()
@click.argument("name")
@pass_common
def show(common: CommonOptions, name: str) -> None:
    """Show what is set for a tenant, and what it uses."""
    with common.client() as client:
        _print_tenant(common, client.tenant(name))


def _setting_options(function: Function) -> Function:
    for name in (*QUOTAS, *RULES):
        option = f"--{name.replace('_', '-')}"
        function = click.option(
            option, name, type=_parse_number_or_none, metavar=f"NUMBER|{REMOVED}"
        )(function)
    return function


@tenants.command("set")
@click.argument("tenant", metavar="NAME")
@_setting_options
@pass_common
def set_tenant(common: CommonOptions, tenant: str, **settings: int | str | None) -> None:
    """Set quotas and rules of retention; `none` removes one, so that the default counts again."""
    chosen = {name: value for name, value in settings.items() if value is not None}
    if not chosen:
        raise click.UsageError("give at least one quota or rule, such as --running 4")
    changes = {name: value if isinstance(value, int) else None for name, value in chosen.items()}
    with common.client() as client:
        changed = client.set_tenant(
            tenant,
            quotas={name: changes[name] for name in QUOTAS if name in changes},
            retention={name: changes[name] for name in RULES if name in changes},
        )
    _print_tenant(common, changed)


def _print_tenant(common: CommonOptions, tenant: Mapping[str, Any]) -> None:
    if common.json:
        print_json(tenant)
        return
    own = {**tenant["quotas"], **tenant["retention"]}
    named = ", ".join(f"{name} {value}" for name, value in own.items() if value is not None)
    click.echo(f"{formatting.plain_text(tenant['name'])}: {named or 'nothing of its own'}")
    _print_usage(tenant["usage"])


@click.group()
def jobs() -> None:
    """Many jobs at once."""


@jobs.command("delete")
@click.option("--label", multiple=True, metavar="KEY:VALUE", help="repeatable: all must match")
@click.option(
    "--status",
    type=click.Choice(("succeeded", "failed", "cancelled")),
    multiple=True,
    help="repeatable: any may match",
)
@click.option("--older-than", metavar="AGE|TIME", help="by their end: 30d, 12h, a time")
@yes_option
@pass_common
def delete_jobs(
    common: CommonOptions,
    *,
    label: tuple[str, ...],
    status: tuple[str, ...],
    older_than: str | None,
    yes: bool,
) -> None:
    """Delete the ended jobs that match all that is given, with histories and checkpoints.

    Jobs with a pinned checkpoint, and those that live jobs need, stay.
    """
    if not (label or status or older_than):
        raise click.UsageError("give at least one of --label, --status and --older-than")
    confirm("Remove all jobs that match, with their histories and checkpoints?", yes=yes)
    with common.client() as client:
        done = client.delete_jobs(label=label, status=status, older_than=older_than)
    common.print_result(done, f"{done['deleted']} jobs deleted, {done['kept']} stay")
