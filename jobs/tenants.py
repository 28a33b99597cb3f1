"""What a tenant has of its own: the secret that its datasets' ids are made with. Knows no key."""

import secrets

from jobs import keys
from jobs.store import Store


def secret(store: Store, tenant: str) -> bytes:
    """Return a tenant's secret, made when it is first asked for and never changed."""
    store.hsetnx(keys.SECRETS, tenant, secrets.token_hex(32))
    found = store.hget(keys.SECRETS, tenant)
    assert found is not None, "it was just made"
    return bytes.fromhex(bytes(found).decode())  # type: ignore[arg-type]
