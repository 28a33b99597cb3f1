"""What the routes work with: the doors of jobs, opened once for each app. Knows no request."""

from dataclasses import dataclass

from jobs.files import Files
from jobs.history.history import History
from jobs.index import Index
from jobs.ledger import Ledger
from jobs.settings import Settings
from jobs.store import Store, connect


@dataclass(frozen=True)
class Service:
    """Everything a view may use."""

    settings: Settings
    store: Store
    ledger: Ledger
    index: Index
    history: History
    files: Files

    @classmethod
    def open(cls, settings: Settings, store: Store | None = None) -> "Service":
        """Make the doors; the store's connections open with the first command."""
        store = connect(settings.redis_url) if store is None else store
        files = Files(settings.artifacts)
        return cls(
            settings=settings,
            store=store,
            ledger=Ledger(store, settings.lease_seconds),
            index=Index(store),
            history=History(store, files),
            files=files,
        )
