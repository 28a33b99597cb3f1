"""What the routes work with: the doors of jobs, opened once for each app. Knows no request."""

from collections.abc import Callable
from dataclasses import dataclass

from api.long_polling import HeldRequestLimit, LongPoller
from api.metrics import Metrics
from jobs.archive.jobs import JobArchive
from jobs.archive.keys_datasets import KeyDatasetArchive
from jobs.datasets.repository import DatasetRepository
from jobs.errors import StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.ledger.access_keys import AccessKeys
from jobs.ledger.checkpoint_requests import CheckpointRequests
from jobs.ledger.client import JobLedger
from jobs.queries.events import Events
from jobs.queries.jobs import JobQueries
from jobs.queries.notices import NoticeListener
from jobs.settings import Settings
from jobs.store.connection import Store, connect


@dataclass(frozen=True)
class Dependencies:
    """Everything a view may use."""

    settings: Settings
    openapi_json: Callable[[], str]
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
    def create(
        cls, settings: Settings, openapi_json: Callable[[], str], store: Store | None = None
    ) -> "Dependencies":
        """Make the doors; the store's connections open with the first command."""
        store = connect(settings.redis_url) if store is None else store
        artifacts, metrics = ArtifactStore(settings.artifacts), Metrics()
        job_archive = JobArchive(store, artifacts)
        held_request_limit = HeldRequestLimit(settings.api_threads, metrics.track_held)
        return cls(
            settings=settings,
            openapi_json=openapi_json,
            store=store,
            ledger=JobLedger(store),
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
