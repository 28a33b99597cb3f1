"""tickforge keys list, create, delete: access keys, for administrators."""

from __future__ import annotations

import re

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    confirm,
    echo,
    pass_common,
    print_json,
    yes_option,
)

SCOPES = ("read", "submit", "admin")


@click.group()
def keys() -> None:
    """Access keys of all tenants; needs a key of scope admin."""


@keys.command("list")
@click.option("--tenant", metavar="NAME", help="only this tenant's keys")
@pass_common
def list_keys(common: CommonOptions, *, tenant: str | None) -> None:
    """List keys, newest first, without the admin key of the server's settings."""
    with common.client() as client:
        access_keys = list(client.keys(tenant=tenant))
    rows = (
        (key["id"], key["tenant"], ",".join(key["scopes"]), key["created_at"], key["name"])
        for key in access_keys
    )
    common.print_table(access_keys, ("KEY", "TENANT", "SCOPES", "CREATED", "NAME"), rows)


@keys.command()
@click.argument("tenant")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("read", "submit"),
    show_default=True,
    help="what it may do; repeatable",
)
@click.option("--name", default="", metavar="TEXT", help="what it is for")
@pass_common
def create(common: CommonOptions, tenant: str, *, scopes: tuple[str, ...], name: str) -> None:
    """Create a key for TENANT and print its secret, which is never shown again."""
    with common.client() as client:
        created = client.create_key(tenant, list(dict.fromkeys(scopes)), name=name)
    if common.json:
        print_json(created)
        return
    tenant, scope_list = formatting.plain_text(created["tenant"]), ", ".join(created["scopes"])
    echo(f"{created['id']} of {tenant}: {scope_list}", err=True)
    echo("its secret, which is shown this once:", err=True)
    echo(created["secret"])


def _check_key_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"key_[a-z0-9]{26}", value):
        # the value may be a secret: do not print it
        raise click.BadParameter("a key's id is key_ and 26 letters and digits (see keys list)")
    return value


@keys.command()
@click.argument("key_id", metavar="KEY", callback=_check_key_id)
@yes_option
@pass_common
def delete(common: CommonOptions, key_id: str, *, yes: bool) -> None:
    """Delete a key; it is refused from now on."""
    confirm(f"Delete {key_id}?", yes=yes)
    with common.client() as client:
        client.delete_key(key_id)
    if common.json:
        print_json({"id": key_id, "deleted": True})
    else:
        echo(f"{key_id} is no key any more", err=True)
