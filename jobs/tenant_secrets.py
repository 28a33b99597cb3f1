"""The secret of each tenant: of dataset ids, signed links and seals of webhooks. Nobody sees it.

Whoever makes one writes it to the archive (`KeyDatasetArchive.save_secret`) before it is used.
"""

import secrets

from jobs.store import keys
from jobs.store.connection import Store


def tenant_secret(store: Store, tenant: str) -> bytes:
    """Return a tenant's secret; made once, never changed."""
    store.hsetnx(keys.DATASET_ID_SECRETS, tenant, secrets.token_hex(32))
    secret = stored_tenant_secret(store, tenant)
    assert secret is not None, "it was just made"
    return secret


def stored_tenant_secret(store: Store, tenant: str) -> bytes | None:
    """Return that secret; None for a tenant that has had no use of it yet."""
    stored = store.hget(keys.DATASET_ID_SECRETS, tenant)
    return None if stored is None else bytes.fromhex(bytes(stored).decode())  # type: ignore[arg-type]
