"""What the routes work with: the doors of jobs, opened once for each app. Knows no request."""

from dataclasses import dataclass

from api.metrics import Metrics
from api.waiting import Places, Waiting
from jobs.access import Access
from jobs.archive.holdings import Holdings
from jobs.archive.jobs import Archive
from jobs.care import Care
from jobs.datasets.datasets import Datasets
from jobs.errors import StoreFull
from jobs.events import Events
from jobs.files import Files
from jobs.history.history import History
from jobs.index import Index
from jobs.ledger import Ledger
from jobs.settings import Settings
from jobs.store import Store, connect
from jobs.tailing import Tailer


@dataclass(frozen=True)
class Service:
    """Everything a view may use."""

    settings: Settings
    store: Store
    ledger: Ledger
    index: Index
    history: History
    files: Files
    access: Access
    metrics: Metrics
    events: Events
    waiting: Waiting
    datasets: Datasets
    care: Care
    archive: Archive
    holdings: Holdings

    def check_room(self) -> None:
        """Raise StoreFull while the disk is nearly full: what runs needs the rest to end well."""
        free, least = self.files.free_bytes(), self.settings.min_free_bytes
        if free < least:
            raise StoreFull(f"{free} bytes of disk are free, and {least} are kept for what runs")

    @classmethod
    def open(cls, settings: Settings, store: Store | None = None) -> "Service":
        """Make the doors; the store's connections open with the first command."""
        store = connect(settings.redis_url) if store is None else store
        files, metrics = Files(settings.artifacts), Metrics()
        archive = Archive(store, files)
        places = Places(settings.api_threads, metrics.held)
        return cls(
            settings=settings,
            store=store,
            ledger=Ledger(store, settings.lease_seconds),
            index=Index(store),
            history=History(store, files),
            files=files,
            access=Access(store, settings.rate_limit),
            metrics=metrics,
            events=Events(store),
            care=Care(store, files, archive),
            archive=archive,
            holdings=Holdings(store, files),
            datasets=Datasets(store, files, most_bytes=settings.max_dataset_bytes),
            waiting=Waiting(Tailer(settings.redis_url), places),
        )
