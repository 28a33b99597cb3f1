"""Tenants' quotas and rules of retention: changed, archived, counted again. Knows no HTTP.

A quota is checked by the scripts that would go beyond it. The service's defaults are in the store
too, where the API writes them at its start, so that workers hold the same ones.
"""

from collections.abc import Mapping
from typing import cast

from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.files.artifacts import ArtifactStore
from jobs.queries.usage import TenantInfo, UsageQueries
from jobs.store import keys
from jobs.store.connection import Store
from jobs.store.scripts import Scripts

RECOUNTED_AT_ONCE = 1000  # jobs: the store answers nobody meanwhile


class Tenants:
    """Reads and changes tenants; a change is archived before it returns."""

    def __init__(self, store: Store, artifacts: ArtifactStore) -> None:
        self._scripts, self._usage = Scripts(store), UsageQueries(store)
        self._archive = KeyDatasetArchive(store, artifacts)
        self.read, self.list_names = self._usage.read_tenant, self._usage.list_names

    def change(self, tenant: str, changes: Mapping[str, int | None]) -> TenantInfo:
        """Set quotas and rules by name; None removes one. Raises as JobArchive does."""
        header = {
            "tenant": tenant,
            "set": {name: value for name, value in changes.items() if value is not None},
            "unset": [name for name, value in changes.items() if value is None],
        }
        with self._archive.reserve_change() as reservation:
            self._scripts.call("patch_tenant", header)
            self._archive.save_tenant(tenant, reservation)
        return self.read(tenant)


def prepare_tenants(store: Store, default_quotas: Mapping[str, int]) -> None:
    """Write the service's quotas into the store, and count what every tenant uses."""
    with store.pipeline(transaction=True) as pipe:
        pipe.delete(keys.DEFAULT_QUOTAS)
        if default_quotas:
            pipe.hset(keys.DEFAULT_QUOTAS, mapping=dict(default_quotas.items()))
        pipe.execute()
    recount_tenants(store)


def recount_tenants(store: Store) -> None:
    """Count what every tenant uses from its records; earlier builds kept no counters.

    Jobs may change meanwhile.
    """
    scripts, with_datasets = Scripts(store), store.hkeys(keys.DATASET_ID_SECRETS)
    names = {name.decode() for name in cast("list[bytes]", with_datasets)}
    for name in sorted(names | set(UsageQueries(store).list_names())):
        header = {"tenant": name, "limit": RECOUNTED_AT_ONCE}
        reply = scripts.call("recount_tenant", {**header, "begins": True})
        while reply[0] == b"more":
            reply = scripts.call("recount_tenant", header)
