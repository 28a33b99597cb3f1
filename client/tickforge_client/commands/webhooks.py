"""tickforge webhooks: be called when something happens to a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    confirm,
    echo,
    id_argument,
    parse_labels,
    pass_common,
    print_json,
    yes_option,
)

webhook_argument = id_argument("webhook_id", "WEBHOOK")


@click.group()
def webhooks() -> None:
    """Addresses that are called when something happens to a job."""


@webhooks.command("list")
@pass_common
def list_webhooks(common: CommonOptions) -> None:
    """List webhooks, newest first, without their secrets."""
    with common.client() as client:
        entries = list(client.webhooks())
    rows = (
        (one["id"], ",".join(one["events"]), _state_text(one), one["waiting"], one["url"] or "-")
        for one in entries
    )
    common.print_table(entries, ("WEBHOOK", "EVENTS", "STATE", "WAITING", "URL"), rows)


@webhooks.command()
@click.argument("address", metavar="URL")
@click.option("--event", "events", multiple=True, help="such as job.failed; repeatable [all]")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY:VALUE",
    help="only jobs with it; repeatable: all of them",
)  # fmt: skip
@click.option("--name", default="", metavar="TEXT", help="what it is for")
@click.option("--cloudevents", is_flag=True, help="bodies as CloudEvents 1.0")
@pass_common
def create(
    common: CommonOptions,
    address: str,
    *,
    events: tuple[str, ...],
    labels: tuple[str, ...],
    name: str,
    cloudevents: bool,
) -> None:
    """Have URL called, and print the secret that signs the messages, never shown again."""
    with common.client() as client:
        created = client.create_webhook(
            address, events or ("*",), labels=parse_labels(labels), name=name,
            format="cloudevents" if cloudevents else "standard",
        )  # fmt: skip
    _print_secret(common, created)


@webhooks.command()
@webhook_argument
@pass_common
def show(common: CommonOptions, webhook_id: str) -> None:
    """Show a webhook; `default` is the one that signs for addresses in a job's `notify`."""
    with common.client() as client:
        webhook = client.webhook(webhook_id)
    if common.json:
        print_json(webhook)
        return
    for name, value in webhook.items():
        if value not in (None, "", {}, 0):
            shown = ",".join(value) if isinstance(value, list) else value
            echo(formatting.plain_text(f"{name:<17} {shown}"))


@webhooks.command()
@webhook_argument
@pass_common
def rotate(common: CommonOptions, webhook_id: str) -> None:
    """Make and print a new secret; for 24 hours the old one signs too."""
    with common.client() as client:
        changed = client.rotate_webhook(webhook_id)
    _print_secret(common, changed)


@webhooks.command()
@webhook_argument
@pass_common
def enable(common: CommonOptions, webhook_id: str) -> None:
    """Enable a webhook again that was disabled since its receiver failed for three days."""
    with common.client() as client:
        changed = client.update_webhook(webhook_id, enabled=True)
    common.print_result(changed, f"{webhook_id} is enabled")


@webhooks.command()
@webhook_argument
@yes_option
@pass_common
def delete(common: CommonOptions, webhook_id: str, *, yes: bool) -> None:
    """Delete a webhook; what waits for it is not sent."""
    confirm(f"Delete {webhook_id}?", yes=yes)
    with common.client() as client:
        client.delete_webhook(webhook_id)
    common.print_result({"id": webhook_id, "deleted": True}, f"{webhook_id} is deleted")


@webhooks.command("test")
@webhook_argument
@pass_common
def send_test(common: CommonOptions, webhook_id: str) -> None:
    """Have a message of type webhook.test sent, and print its id."""
    with common.client() as client:
        delivery = client.test_webhook(webhook_id)
    common.print_result(delivery, delivery["id"])


@webhooks.command()
@webhook_argument
@pass_common
def deliveries(common: CommonOptions, webhook_id: str) -> None:
    """List what was sent in the last three days, newest first, and what waits."""
    with common.client() as client:
        entries = list(client.deliveries(webhook_id))
    rows = (
        (one["id"], one["event"], one["job"] or "-", one["status"], one["attempt"],
         one["response_code"] or one["error"] or "-", one["next_try"] or one["finished_at"] or "-")
        for one in entries
    )  # fmt: skip
    head = ("MESSAGE", "EVENT", "JOB", "STATUS", "TRIES", "ANSWER", "NEXT TRY OR END")
    common.print_table(entries, head, rows)


@webhooks.command()
@webhook_argument
@id_argument("message_id", "MESSAGE")
@pass_common
def redeliver(common: CommonOptions, webhook_id: str, message_id: str) -> None:
    """Have a message sent again, with the same id and body, or at once if it waits."""
    with common.client() as client:
        delivery = client.redeliver(webhook_id, message_id)
    common.print_result(delivery, f"{message_id} is sent again")


def _state_text(webhook: Mapping[str, Any]) -> str:
    return "enabled" if webhook["enabled"] else f"disabled: {webhook['disabled_reason'] or '-'}"


def _print_secret(common: CommonOptions, webhook: Mapping[str, Any]) -> None:
    if common.json:
        print_json(webhook)
        return
    echo(f"{webhook['id']}, and its secret, which is shown this once:", err=True)
    echo(webhook["secret"])
