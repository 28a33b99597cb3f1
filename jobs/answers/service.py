"""What clients ask of answers: predict, read, list, cancel, delete. Knows no HTTP."""

import json
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, BinaryIO, Literal, NamedTuple

from jobs.answers.dataset_checks import check_dataset, check_result_size
from jobs.answers.ledger import AnswerLedger, AnswerLimits, NewAnswer
from jobs.answers.net_config import NetConfigs
from jobs.answers.queries import AnswerQueries
from jobs.answers.requests import PredictRequest, check_request
from jobs.answers.result_size import compute_max_bytes
from jobs.answers.results import RESULT_FILE
from jobs.datasets.repository import DatasetRepository
from jobs.errors import NoResult, NoSuchPart
from jobs.files.artifacts import ArtifactStore
from jobs.job import Checkpoint, DatasetPredictions, Job, Transition
from jobs.ledger.claims import Question
from jobs.queries.jobs import JobQueries
from jobs.queries.moving_checkpoints import use_checkpoint
from jobs.settings import Settings
from jobs.spec.about import MAX_NAME_CHARACTERS
from jobs.spec.data import DatasetData
from jobs.store import keys
from jobs.store.codec import encode_checkpoint
from jobs.store.connection import Store
from jobs.submissions import Idempotency, Submissions


class AskedNet(NamedTuple):
    """The checkpoint that is asked, with its job and the selector that named it."""

    job: Job
    selector: str
    checkpoint: Checkpoint


def answer_limits(settings: Settings) -> AnswerLimits:
    """Return the bounds of answers that these settings give."""
    return AnswerLimits(
        settings.answer_seconds, settings.max_queued_answers, settings.max_answer_bytes
    )


def check_has_result(job: Job) -> None:
    """Raise NoSuchPart for a job whose kind has no predictions to download.

    Raises NoResult for one that ended without them.
    """
    if job.kind != "predict":
        raise NoSuchPart(f"only a predict of a dataset has predictions; this is a {job.kind}")
    if job.is_terminal and job.result is None:
        raise NoResult(job.status)


class AnswerService:
    """The answers of all tenants. A method that names one raises NoSuchJob if there is none."""

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        datasets: DatasetRepository,
        settings: Settings,
        encode_job: Callable[[Job], str],
    ) -> None:
        """`encode_job` writes a job as the JSON that a client is shown."""
        self._submissions = Submissions(store, artifacts, settings, encode_job)
        self._store, self._artifacts, self._datasets = store, artifacts, datasets
        self._ledger, self._configs = AnswerLedger(store), NetConfigs(artifacts)
        self.queries, self._jobs = AnswerQueries(store), JobQueries(store)
        self._limits = answer_limits(settings)
        self._max_result_bytes = settings.max_result_bytes

    def find_net(self, tenant: str, job_id: str, selector: str) -> AskedNet:
        """Find the net to ask. Raises NoSuchJob or NoSuchCheckpoint."""
        checkpoint = self._jobs.get_checkpoint(tenant, job_id, selector)
        return AskedNet(self._jobs.get_job(tenant, job_id), selector, checkpoint)

    def find_replay(self, tenant: str, idempotency: Idempotency | None) -> str | None:
        """Return the id of what was asked with this idempotency key and body, if anything was."""
        if idempotency is None:
            return None
        answer_id = self.queries.find_by_idempotency_key(tenant, *idempotency)
        return answer_id or self._jobs.find_by_idempotency_key(tenant, *idempotency)

    def predict(
        self, net: AskedNet, request: PredictRequest, idempotency: Idempotency | None
    ) -> tuple[str, bool]:
        """Queue what is asked; return the answer's id, and whether it is a repetition.

        Raises NoSuchCheckpoint, InvalidRequest, DamagedCheckpoint, IdempotencyMismatch,
        IdempotentResultDeleted, QueueFull, QuotaExceeded or StoreFull.
        """
        return self._ask(net, partial(self._predict, net.job, request, idempotency))

    def _ask(
        self, net: AskedNet, ask: Callable[[Checkpoint], tuple[str, bool]]
    ) -> tuple[str, bool]:
        find = partial(self._jobs.get_checkpoint, net.job.tenant, net.job.id, net.selector)
        return use_checkpoint(find, ask, net.checkpoint)

    def _predict(
        self,
        job: Job,
        request: PredictRequest,
        idempotency: Idempotency | None,
        checkpoint: Checkpoint,
    ) -> tuple[str, bool]:
        config = self._configs.read(job.tenant, job.id, checkpoint)
        check_request(request, config, self._other_columns(job, request))
        name = f"predict of {job.name}"[:MAX_NAME_CHARACTERS]
        new = NewAnswer(job.id, name, checkpoint, job.spec.compute.threads, request.to_request())
        key, body_digest = idempotency or (None, "")
        return self._ledger.submit(
            job.tenant, new, self._limits, idempotency_key=key, body_digest=body_digest
        )

    def ask_about_dataset(
        self,
        net: AskedNet,
        kind: Literal["predict", "evaluate"],
        dataset_id: str,
        idempotency: Idempotency | None,
    ) -> tuple[str, bool]:
        """Queue a job that predicts a dataset, or evaluates the net on it.

        A predict's file is bounded by what its rows can take. Raises what `predict` does, or
        DiskUnavailable, NotArchived or NoSuchDataset.
        """
        ask = partial(self._ask_about_dataset, net.job, kind, dataset_id, idempotency)
        return self._ask(net, ask)

    def _ask_about_dataset(
        self,
        job: Job,
        kind: Literal["predict", "evaluate"],
        dataset_id: str,
        idempotency: Idempotency | None,
        checkpoint: Checkpoint,
    ) -> tuple[str, bool]:
        config = self._configs.read(job.tenant, job.id, checkpoint)
        dataset = check_dataset(
            self._datasets.look_up(job.tenant, dataset_id), dataset_id, job.spec, config,
            has_targets=kind == "evaluate",
        )  # fmt: skip
        size = 0
        if kind == "predict":
            size = compute_max_bytes(dataset.file.rows, config)
            check_result_size(size, self._max_result_bytes, dataset_id, dataset.file.rows)
        document = {
            "checkpoint": json.loads(encode_checkpoint(checkpoint)),
            "dataset": dataset_id,
            "file": dataset.file.model_dump(mode="json"),
            "drops_gaps": getattr(job.spec.data, "missing", None) == "drop",
            "max_bytes": size,
        }
        name = f"{kind} of {job.name}"[:MAX_NAME_CHARACTERS]
        where = (dataset_id, dataset.file.path)
        question = Question(kind, name, job.id, checkpoint.tick, where, document, size)
        create = self._submissions.create
        submission = create(job.tenant, job.spec, idempotency, question=question)
        return submission.job_id, submission.is_replayed

    def open_result(self, job: Job) -> BinaryIO:
        """Open the predictions of a dataset. Raises NoResult, or NoSuchPart for another kind."""
        check_has_result(job)
        if not isinstance(job.result, DatasetPredictions):
            raise NoResult(job.status)
        path = self._artifacts.job_folder(job.tenant, job.id) / RESULT_FILE
        return self._artifacts.open(path)

    def is_answer(self, tenant: str, job_id: str) -> bool:
        """Return whether an id is that of an answer."""
        count: Any = self._store.exists(keys.answer(tenant, job_id))
        return bool(count)

    def cancel(self, tenant: str, answer_id: str, action: Transition) -> bool:
        """Cancel an answer; return whether it is done. Raises IllegalTransition."""
        return self._ledger.cancel(tenant, answer_id, action)

    def delete(self, tenant: str, answer_id: str) -> None:
        """Remove an answer that has ended. Raises NotTerminal."""
        self._ledger.delete(tenant, answer_id)

    def _other_columns(self, job: Job, request: PredictRequest) -> Collection[str]:
        """Return the columns of the training's table, read by the net or not."""
        data, facts = job.spec.data, job.spec.facts
        if request.rows is None or not isinstance(data, DatasetData) or facts is None:
            return ()
        known = self._datasets.look_up(job.tenant, data.id)  # it may have been deleted since
        columns = [] if known is None else known.profile.columns or []
        return {*facts.left_out, *data.exclude, *(column.name for column in columns)}
