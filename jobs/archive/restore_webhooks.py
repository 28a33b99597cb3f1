"""Write archived webhooks, and tombstones of deleted ones, into an empty store.

Their deliveries are not archived: the ends of jobs of the last days are sent again instead, when
the jobs are restored (lua/restore.lua).
"""

from typing import Any

from jobs.archive.format import decode_bytes, decode_hash
from jobs.archive.restore import Restorer
from jobs.store import keys


def restore_webhook(restorer: Restorer, record: dict[str, Any]) -> None:
    """Restore a webhook."""
    fields = decode_hash(record["fields"])
    tenant, webhook_id = fields["tenant"].decode(), fields["id"].decode()
    with restorer.store.pipeline(transaction=True) as pipe:
        pipe.hset(keys.webhook(tenant, webhook_id), mapping=fields)  # type: ignore[arg-type]
        for idempotency_key, encoded in record["known"].items():
            hash_key = keys.webhook_idempotency(tenant)
            pipe.hset(hash_key, idempotency_key, decode_bytes(encoded))
        pipe.execute()
    restorer.scripts.call("webhook_restore", {"member": keys.job_member(tenant, webhook_id)})


def restore_webhook_tombstone(restorer: Restorer, record: dict[str, Any]) -> None:
    """Restore the tombstone of a deleted webhook."""
    restorer.mark_keys_deleted(keys.webhook_idempotency(record["tenant"]), record["known"])
    restorer.advance_sequence(keys.WEBHOOK_SEQUENCE, record["sequence"])
