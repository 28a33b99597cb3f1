"""What a tenant has of its own: the secret that its datasets' ids are made with. Knows no key."""

import secrets

from jobs.store import keys
from jobs.store.connection import Store


def ensure_dataset_id_secret(store: Store, tenant: str) -> bytes:
    """Return a tenant's secret, made when it is first asked for and never changed."""
    store.hsetnx(keys.DATASET_ID_SECRETS, tenant, secrets.token_hex(32))
    stored = store.hget(keys.DATASET_ID_SECRETS, tenant)
    assert stored is not None, "it was just made"
    return bytes.fromhex(bytes(stored).decode())  # type: ignore[arg-type]
