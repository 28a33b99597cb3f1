"""An export in work: model.onnx of a checkpoint, written beside its files. Knows no process."""

from typing import Any

from jobs.answers.ledger import AnswerClaim, AnswerLeases
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.files.exported_files import new_draft, publish_draft
from workers.open_answers import Header, ShortAnswer


class ExportAnswer(ShortAnswer):
    """An export that a worker owns: its file lies under its name before its record says so."""

    def __init__(self, claim: AnswerClaim, leases: AnswerLeases, files: ArtifactStore) -> None:
        super().__init__(claim, leases)
        self._files, self._is_published = files, False
        folder = checkpoint_folders.folder_path(files, self.tenant, self.parent, self.checkpoint)
        self._draft = new_draft(folder)

    def command(self, common: Header) -> tuple[str, Header]:
        """Return the command that begins it."""
        return "export_onnx", {
            **common, "threads": self._claim.threads, "output": str(self._draft)
        }  # fmt: skip

    def succeed(self, result: Any) -> None:
        """End it: first its file under its name, then the record."""
        if not self._is_published:  # else called again after the store did not answer
            try:
                publish_draft(self._files, self._draft)
            except FileNotFoundError:
                self.fail("checkpoint-gone", "the checkpoint was deleted before its file was made")
                return
            self._is_published = True
        super().succeed(result)

    def fail(self, kind: str, detail: str) -> None:
        """End it with an error."""
        self._draft.unlink(missing_ok=True)
        super().fail(kind, detail)

    def give_back(self, reason: str) -> None:
        """Put it back for another attempt."""
        self._draft.unlink(missing_ok=True)
        super().give_back(reason)
