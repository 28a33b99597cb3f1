"""What the routes work with: the doors of jobs, opened once for each app. Knows no request."""

from dataclasses import dataclass

from api.metrics import Metrics
from api.waiting import HeldRequestLimit, LongPoller
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
class Dependencies:
    """Everything a view may use."""

    settings: Settings
    store: Store
    ledger: JobLedger
    job_queries: JobQueries
    history: HistoryReader
    artifacts: ArtifactStore
    access_keys: AccessKeys
    metrics: Metrics
    events: Events
    long_poller: LongPoller
    datasets: DatasetRepository
    checkpoint_requests: CheckpointRequests
    job_archive: JobArchive
    key_dataset_archive: KeyDatasetArchive

    def check_disk_space(self) -> None:
        """Raise StoreFull while the disk is nearly full: what runs needs the rest to end well."""
        free_bytes, min_free_bytes = self.artifacts.free_bytes(), self.settings.min_free_bytes
        if free_bytes < min_free_bytes:
            raise StoreFull(
                f"{free_bytes} bytes of disk are free, and {min_free_bytes} are kept for what runs"
            )

    @classmethod
    def create(cls, settings: Settings, store: Store | None = None) -> "Dependencies":
        """Make the doors; the store's connections open with the first command."""
        store = connect(settings.redis_url) if store is None else store
        artifacts, metrics = ArtifactStore(settings.artifacts), Metrics()
        job_archive = JobArchive(store, artifacts)
        held_request_limit = HeldRequestLimit(settings.api_threads, metrics.track_held)
        return cls(
            settings=settings,
            store=store,
            ledger=JobLedger(store, settings.lease_seconds),
            job_queries=JobQueries(store),
            history=HistoryReader(store, artifacts),
            artifacts=artifacts,
            access_keys=AccessKeys(store, settings.rate_limit),
            metrics=metrics,
            events=Events(store),
            checkpoint_requests=CheckpointRequests(store, artifacts, job_archive),
            job_archive=job_archive,
            key_dataset_archive=KeyDatasetArchive(store, artifacts),
            datasets=DatasetRepository(store, artifacts, max_bytes=settings.max_dataset_bytes),
            long_poller=LongPoller(NoticeListener(settings.redis_url), held_request_limit),
        )
