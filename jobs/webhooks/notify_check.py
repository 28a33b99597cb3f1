"""Checks `notify` of a spec: webhooks that exist, addresses that may be called."""

from collections.abc import Sequence

from jobs.files.artifacts import ArtifactStore
from jobs.ids import is_webhook_id
from jobs.settings import Settings
from jobs.spec.base import FieldError, InvalidSpec
from jobs.store.connection import Store
from jobs.webhooks.addresses import AddressRules
from jobs.webhooks.service import Webhooks


def make_notify_check(store: Store, artifacts: ArtifactStore, settings: Settings) -> "NotifyCheck":
    """Make the check of a service with these settings."""
    rules = AddressRules(settings.webhook_hosts, settings.webhook_networks)
    return NotifyCheck(Webhooks(store, artifacts), rules)


class NotifyCheck:
    """Checks whom a job is to call."""

    def __init__(self, webhooks: Webhooks, rules: AddressRules) -> None:
        self._webhooks, self._rules = webhooks, rules

    def check(self, tenant: str, targets: Sequence[str]) -> None:
        """Raise InvalidSpec for an unknown webhook, or an address that may not be called."""
        errors = []
        for number, target in enumerate(targets):
            if rule := self._find_fault(tenant, target):
                errors.append(FieldError(f"/notify/{number}", rule, target))
        if errors:
            raise InvalidSpec(errors)

    def prepare(self, tenant: str, targets: Sequence[str]) -> None:
        """Make the tenant's own webhook, which signs what bare addresses get, if one is named."""
        if any(not is_webhook_id(target) for target in targets):
            self._webhooks.get_default(tenant)

    def _find_fault(self, tenant: str, target: str) -> str | None:
        if is_webhook_id(target):
            if target == self._webhooks.find_default_id(tenant):
                return "an address, for which the tenant's own webhook then signs"
            return None if self._webhooks.exists(tenant, target) else "a webhook of this tenant"
        try:
            self._rules.check_url(target)
        except ValueError as error:
            return str(error)
        return None
