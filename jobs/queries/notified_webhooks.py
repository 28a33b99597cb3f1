"""What of the webhooks that a job's spec names tells whether anything would be sent."""

from collections.abc import Sequence
from typing import Any

from jobs.ids import is_webhook_id
from jobs.store import keys
from jobs.store.connection import Store


def find_default_id(store: Store, tenant: str) -> str | None:
    """Return the id of a tenant's own webhook, if it has been made."""
    webhook_id: Any = store.hget(keys.WEBHOOK_DEFAULTS, tenant)
    return None if webhook_id is None else str(webhook_id.decode())


def find_notify_warnings(store: Store, tenant: str, targets: Sequence[str]) -> list[str]:
    """Return a warning for each target that is sent nothing as things are."""
    are_bare = [not is_webhook_id(target) for target in targets]
    own_id = find_default_id(store, tenant) if any(are_bare) else None
    warnings = []
    for number, (target, is_bare) in enumerate(zip(targets, are_bare, strict=True)):
        if (webhook_id := own_id if is_bare else target) is None:
            continue
        key = keys.webhook(tenant, webhook_id)
        record: Any = store.hmget(key, ["enabled", "disabled_reason"])
        enabled, reason = record
        if enabled == b"0":
            whose = "the tenant's own webhook, which signs for it," if is_bare else "this webhook"
            why = (reason or b"").decode()
            warnings.append(f"/notify/{number}: {whose} is disabled ({why}): nothing is sent")
    return warnings
