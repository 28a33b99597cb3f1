"""What the views work with: stores, services and queries, created once for each app.

Knows no request.
"""

from collections.abc import Callable

from api.checked_files import CheckedFiles
from api.held_requests import HeldRequestLimit
from api.job_responses import job_json
from api.long_polling import LongPoller
from api.metrics import Metrics
from jobs.access_keys import AccessKeys
from jobs.answers.answer import Answer
from jobs.answers.exports import OnnxExports
from jobs.answers.service import AnswerService, answer_limits
from jobs.datasets.job_row_reader import JobRowReader
from jobs.datasets.repository import DatasetRepository
from jobs.errors import NoSuchJob
from jobs.files.artifacts import ArtifactStore
from jobs.files.file_digests import FileDigests
from jobs.forks.service import ForkService
from jobs.history.history import HistoryReader
from jobs.job import Job
from jobs.job_service import JobService
from jobs.queries.damage_marks import DamageMarks
from jobs.queries.events import Events
from jobs.queries.jobs import JobQueries
from jobs.queries.notices import NoticeListener
from jobs.queries.tenant_events import TenantEvents
from jobs.settings import Settings
from jobs.signed_links import LinkSigner
from jobs.store.connection import Store, connect
from jobs.tenants import Tenants
from jobs.webhooks.addresses import AddressRules
from jobs.webhooks.deliveries import Deliveries
from jobs.webhooks.service import Webhooks

#: of the app: the thread that completes the archive, which a server starts in each process
UPKEEP_EXTENSION = "tickforge_archive_upkeep"


class Dependencies:
    """Everything a view may use. The store's connections open with the first command."""

    def __init__(
        self, settings: Settings, openapi_json: Callable[[], str], store: Store | None = None
    ) -> None:
        self.settings, self.openapi_json = settings, openapi_json
        self.store = store = connect(settings.redis_url) if store is None else store
        self.artifacts = artifacts = ArtifactStore(
            settings.artifacts, min_free_bytes=settings.min_free_bytes
        )
        digests = FileDigests()
        self.datasets = DatasetRepository(
            store, artifacts, max_bytes=settings.max_dataset_bytes, digests=digests
        )
        self.job_rows = JobRowReader(self.datasets.open_file)
        self.jobs = JobService(store, artifacts, self.datasets, settings, job_json)
        self.forks = ForkService(store, artifacts, settings, job_json)
        self.answers = AnswerService(store, artifacts, self.datasets, settings, job_json)
        self.exports = OnnxExports(store, artifacts, answer_limits(settings))
        self.job_queries, self.events = JobQueries(store), Events(store)
        self.checked_files = CheckedFiles(digests, DamageMarks(store))
        self.history = HistoryReader(store, artifacts, digests)
        self.tenants, self.tenant_events = Tenants(store, artifacts), TenantEvents(store)
        self.access_keys = AccessKeys(store, artifacts, settings.rate_limit)
        self.link_signer = LinkSigner(store, artifacts)
        self.webhooks, self.deliveries = Webhooks(store, artifacts), Deliveries(store)
        self.address_rules = AddressRules(settings.webhook_hosts, settings.webhook_networks)
        self.metrics = Metrics()
        held_request_limit = HeldRequestLimit(settings.api_threads, self.metrics.track_held)
        self.long_poller = LongPoller(NoticeListener(settings.redis_url), held_request_limit)

    def get_job(self, tenant: str, job_id: str) -> Job | Answer:
        """Read a job of any kind. Raises NoSuchJob."""
        try:
            return self.job_queries.get_job(tenant, job_id)
        except NoSuchJob:
            return self.answers.queries.get(tenant, job_id)
