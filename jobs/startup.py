"""What the API does with store and artifacts before it serves. Knows no HTTP."""

from jobs.archive.backfill import backfill
from jobs.archive.jobs import JobArchive
from jobs.archive.store_identity import check_not_older, check_store_matches
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from jobs.store.connection import Store
from jobs.tenants import prepare_tenants


def prepare_store(store: Store, artifacts: ArtifactStore, settings: Settings) -> None:
    """Check that store and artifacts belong together, and complete both, before serving.

    Raises UnsafeStore.
    """
    check_store_matches(store, artifacts)
    check_not_older(store, artifacts)
    backfill(store, artifacts)
    JobArchive(store, artifacts).sweep()
    prepare_tenants(store, settings.default_quotas)
