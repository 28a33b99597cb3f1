"""Starts the thread that calls webhooks, and imports what it needs, once there is a webhook."""

from typing import Any

from jobs.store import keys
from jobs.store.connection import Store
from workers.worker_folder import WorkerConfig


class WebhookCalls:
    """A worker's sender, which a service without webhooks never has."""

    def __init__(self, store: Store, config: WorkerConfig) -> None:
        self._store, self._config = store, config
        self._sender: Any = None

    def start_if_needed(self) -> None:
        """Start the sender if any tenant has a webhook."""
        if self._sender is None and self._store.exists(keys.WEBHOOK_TENANTS):
            from workers.webhook_sender import WebhookSender

            self._sender = WebhookSender(self._config.settings, self._config.name)
            self._sender.start()

    def stop(self) -> None:
        """Stop the sender, if there is one: another worker's goes on."""
        if self._sender is not None:
            self._sender.__exit__()
