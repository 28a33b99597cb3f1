"""What the views work with: stores, services and queries, created once for each app.

Knows no request.
"""

from collections.abc import Callable
from dataclasses import dataclass

from api.job_responses import job_json
from api.long_polling import HeldRequestLimit, LongPoller
from api.metrics import Metrics
from jobs.access_keys import AccessKeys, AccessKeyService
from jobs.datasets.repository import DatasetRepository
from jobs.files.artifacts import ArtifactStore
from jobs.history.history import HistoryReader
from jobs.job_service import JobService
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
    artifacts: ArtifactStore
    jobs: JobService
    job_queries: JobQueries
    history: HistoryReader
    events: Events
    datasets: DatasetRepository
    access_keys: AccessKeys
    access_key_service: AccessKeyService
    metrics: Metrics
    long_poller: LongPoller

    @classmethod
    def create(
        cls, settings: Settings, openapi_json: Callable[[], str], store: Store | None = None
    ) -> "Dependencies":
        """Create them all; the store's connections open with the first command."""
        store = connect(settings.redis_url) if store is None else store
        artifacts = ArtifactStore(settings.artifacts, min_free_bytes=settings.min_free_bytes)
        datasets = DatasetRepository(store, artifacts, max_bytes=settings.max_dataset_bytes)
        metrics = Metrics()
        held_request_limit = HeldRequestLimit(settings.api_threads, metrics.track_held)
        return cls(
            settings=settings,
            openapi_json=openapi_json,
            store=store,
            artifacts=artifacts,
            jobs=JobService(store, artifacts, datasets, settings, job_json),
            job_queries=JobQueries(store),
            history=HistoryReader(store, artifacts),
            events=Events(store),
            datasets=datasets,
            access_keys=AccessKeys(store, settings.rate_limit),
            access_key_service=AccessKeyService(store, artifacts),
            metrics=metrics,
            long_poller=LongPoller(NoticeListener(settings.redis_url), held_request_limit),
        )
