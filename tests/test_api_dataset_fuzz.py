"""Damaged files of every format: each is answered, and what is accepted is read.

`make fuzz` sends many more, from another seed.
"""

from pathlib import Path
from typing import Any

import pytest

from jobs.datasets.repository import DatasetRepository
from jobs.files.artifacts import ArtifactStore
from jobs.settings import Settings
from tests.fuzz_campaign import run_fuzz
from tests.fuzz_uploads import ApiTarget, ReaderTarget, count_statuses

SEED, COUNT, API_EVERY = 18, 1000, 10
MAX_GROWTH = 64 << 20  # no file has more than 64 KiB


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as in a service: numpy warns of some arrays
def test_damaged_files_are_refused_or_read_and_leave_nothing(
    client: Any, store: Any, settings: Settings, tmp_path: Path
) -> None:
    """Every tenth is also sent to the API, whose answer must be the readers'."""
    datasets = DatasetRepository(store, ArtifactStore(settings.artifacts), max_bytes=1 << 24)
    api, readers = (
        ApiTarget(client, datasets, settings.artifacts),
        ReaderTarget(client.application, tmp_path),
    )

    def also(number: int) -> Any:
        return None if number % API_EVERY else api.take

    *_, (report, _) = run_fuzz(SEED, range(COUNT), readers.take, also)

    print(f"SEED={SEED} COUNT={COUNT}", report)
    assert report.faults == {}
    assert report.memory < MAX_GROWTH
    assert count_statuses(report.outcomes) >= {"201", "400", "422"}
