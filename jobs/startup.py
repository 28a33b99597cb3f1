"""What the API does with store and artifacts before it serves. Knows no HTTP."""

from jobs import logs
from jobs.archive.backfill import backfill
from jobs.archive.jobs import JobArchive
from jobs.archive.store_identity import check_not_older, check_store_matches
from jobs.errors import DiskUnavailable, StoreFull
from jobs.files.artifacts import ArtifactStore, translate_disk_errors
from jobs.settings import Settings
from jobs.store.connection import Store
from jobs.tenants import prepare_tenants


def prepare_store(store: Store, artifacts: ArtifactStore, settings: Settings) -> None:
    """Check that store and artifacts belong together, and complete both, before serving.

    A disk that refuses writes is logged: jobs can be read meanwhile. Raises UnsafeStore.
    """
    check_store_matches(store, artifacts)
    check_not_older(store, artifacts)
    try:
        prepare_archive(store, artifacts)
    except (StoreFull, DiskUnavailable) as error:
        logs.get_logger("api").warning("the archive is not complete", error=str(error))
    answers = {
        "queued_answers": settings.max_queued_answers,
        "answer_bytes": settings.max_answer_bytes,
    }
    prepare_tenants(store, {**settings.default_quotas, **answers})


def prepare_archive(store: Store, artifacts: ArtifactStore) -> None:
    """Complete the archive and close it to other users. Raises StoreFull or DiskUnavailable."""
    archive = JobArchive(store, artifacts)
    with translate_disk_errors():
        artifacts.close_to_others()
        backfill(store, artifacts)
        archive.prepare()
    archive.refill_reserve()
