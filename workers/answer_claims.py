"""What each thread of workers/answering.py claims: answers, or exports. Knows no process."""

from collections.abc import Collection

from jobs.answers.ledger import AnswerLeases
from jobs.files.artifacts import ArtifactStore
from jobs.store import keys
from jobs.store.connection import Store
from workers.dataset_claims import DatasetClaims
from workers.export_answer import ExportAnswer
from workers.open_answers import OpenAnswer, ShortAnswer
from workers.worker_folder import WorkerConfig

MAX_OPEN = 16  # short answers in work at a time, beside one about a dataset
#: seconds that an export may take: it gives no sign of life. The largest nets take minutes
MAX_EXPORT_SECONDS = 600.0


class AnswerClaims:
    """Short answers, and jobs about datasets, one at a time."""

    wakeups = keys.ANSWER_WAKEUPS
    keeps_process = True

    def __init__(self, store: Store, files: ArtifactStore, config: WorkerConfig) -> None:
        self._leases = AnswerLeases(store, config.settings.lease_seconds)
        self._datasets, self._name = DatasetClaims(store, files, config), config.name
        self.stall_seconds = config.settings.stall_seconds

    def claim(
        self, open_answers: Collection[OpenAnswer], *, is_long_one_due: bool
    ) -> OpenAnswer | None:
        """Claim a short answer or, where one is due, a job about a dataset."""
        if len(open_answers) < MAX_OPEN and (claim := self._leases.claim(self._name)):
            return ShortAnswer(claim, self._leases)
        if is_long_one_due and not any(map(self._datasets.is_one, open_answers)):
            return self._datasets.claim()
        return None


class ExportClaims:
    """Exports, one at a time, each in a process that ends with it."""

    wakeups = keys.EXPORT_WAKEUPS
    keeps_process = False
    stall_seconds = MAX_EXPORT_SECONDS

    def __init__(self, store: Store, files: ArtifactStore, config: WorkerConfig) -> None:
        self._leases = AnswerLeases(store, config.settings.lease_seconds, exports=True)
        self._files, self._name = files, config.name

    def claim(
        self, open_answers: Collection[OpenAnswer], *, is_long_one_due: bool
    ) -> OpenAnswer | None:
        """Claim an export, unless one is in work."""
        if open_answers or not (claim := self._leases.claim(self._name)):
            return None
        return ExportAnswer(claim, self._leases, self._files)
