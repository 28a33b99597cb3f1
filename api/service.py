"""What the routes work with: the doors of jobs, opened once for each app. Knows no request."""

from dataclasses import dataclass

from api.metrics import Metrics
from api.waiting import Places, Waiting
from jobs.access import AccessKeys
from jobs.archive.holdings import KeyDatasetArchive
from jobs.archive.jobs import JobArchive
from jobs.care import CheckpointRequests
from jobs.datasets.datasets import DatasetRepository
from jobs.errors import StoreFull
from jobs.events import Events
from jobs.files import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.index import JobQueries
from jobs.ledger import JobLedger
from jobs.settings import Settings
from jobs.store import Store, connect
from jobs.tailing import NoticeListener


@dataclass(frozen=True)
class Service:
    """Everything a view may use."""

    settings: Settings
    store: Store
    ledger: JobLedger
    index: JobQueries
    history: HistoryReader
    files: ArtifactStore
    access: AccessKeys
    metrics: Metrics
    events: Events
    waiting: Waiting
    datasets: DatasetRepository
    care: CheckpointRequests
    archive: JobArchive
    holdings: KeyDatasetArchive

    def check_room(self) -> None:
        """Raise StoreFull while the disk is nearly full: what runs needs the rest to end well."""
        free, least = self.files.free_bytes(), self.settings.min_free_bytes
        if free < least:
            raise StoreFull(f"{free} bytes of disk are free, and {least} are kept for what runs")

    @classmethod
    def open(cls, settings: Settings, store: Store | None = None) -> "Service":
        """Make the doors; the store's connections open with the first command."""
        store = connect(settings.redis_url) if store is None else store
        files, metrics = ArtifactStore(settings.artifacts), Metrics()
        archive = JobArchive(store, files)
        places = Places(settings.api_threads, metrics.held)
        return cls(
            settings=settings,
            store=store,
            ledger=JobLedger(store, settings.lease_seconds),
            index=JobQueries(store),
            history=HistoryReader(store, files),
            files=files,
            access=AccessKeys(store, settings.rate_limit),
            metrics=metrics,
            events=Events(store),
            care=CheckpointRequests(store, files, archive),
            archive=archive,
            holdings=KeyDatasetArchive(store, files),
            datasets=DatasetRepository(store, files, max_bytes=settings.max_dataset_bytes),
            waiting=Waiting(NoticeListener(settings.redis_url), places),
        )
