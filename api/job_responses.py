"""A job as an answer: its JSON, its ETag, and when a wait for it ends.

The ETag has two halves: what matters, and how far it is. So a wait can tell progress alone, which
ends it after a second, from what ends it at once, though all it knows of before is a tag.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from flask import Response, request

from api.etag import compute_etag, etag_matches, not_modified, set_etag
from api.long_polling import UNREACHABLE_TICK, LongPoller
from api.schemas_events import JobPollQuery
from jobs.job import Job
from jobs.job_service import Submission
from jobs.queries.notices import JobName

#: seconds of a wait before which progress alone does not end it
PROGRESS_AFTER_SECONDS = 1.0
HALF_ETAG_LENGTH = 16  # hex digits of a tag that stand for what matters
#: what is progress alone; a spec never changes
PROGRESS_FIELDS = {
    "phase", "tick", "progress", "epoch", "loss", "metrics", "ticks_per_second",
    "elapsed_seconds", "eta_seconds", "queue", "bytes", "spec",
}  # fmt: skip
SUBRESOURCES = ("history", "events", "logs", "checkpoints", "attempts")


@dataclass(frozen=True)
class JobView:
    """A job as it was at one look."""

    job: Job

    @cached_property
    def text(self) -> str:
        """Its JSON."""
        return job_json(self.job)

    @cached_property
    def significant_tag(self) -> str:
        """The half of the tag that changes with more than progress."""
        return compute_etag(self.job.model_dump_json(exclude=PROGRESS_FIELDS))[:HALF_ETAG_LENGTH]

    @cached_property
    def etag(self) -> str:
        """The tag of the whole."""
        return self.significant_tag + compute_etag(self.text)[:HALF_ETAG_LENGTH]

    def to_response(self, *, always_full: bool = False) -> Response:
        """Return it, or 304 for who has it, unless the `whole` is due."""
        if not always_full and etag_matches(request, self.etag):
            return not_modified(self.etag)
        return set_etag(Response(self.text, content_type="application/json"), self.etag)


def job_response(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a verb with the job and its ETag, so that a wait may begin from it."""
    view = JobView(job)
    response = Response(view.text, status, headers=headers, content_type="application/json")
    return set_etag(response, view.etag)


def submission_response(submission: Submission, headers: Mapping[str, str]) -> Response:
    """Answer 202 with the job, or with what the same request was answered before."""
    replayed = {"Idempotent-Replayed": "true"} if submission.is_replayed else {}
    if submission.job is not None:
        return job_response(submission.job, 202, {**headers, **replayed})
    text = submission.stored_response
    return Response(text, 202, headers={**headers, **replayed}, content_type="application/json")


def job_json(job: Job) -> str:
    """Spell a job, with where its parts are."""
    job_path = f"/v1/jobs/{job.id}"
    links = {"self": job_path, **{part: f"{job_path}/{part}" for part in SUBRESOURCES}}
    return job.model_copy(update={"links": links}).model_dump_json()


def long_poll_job(
    long_poller: LongPoller, name: JobName, get_job: Callable[[str, str], Job], query: JobPollQuery
) -> Response:
    """Answer with a job, once what the query waits for has happened or its time is over."""

    def fetch() -> JobView:
        return JobView(get_job(*name))

    wait_for = long_poller.wait_for
    if query.until is not None:
        tick = UNREACHABLE_TICK if query.until == "end" else int(query.until.removeprefix("tick:"))
        result = wait_for(
            name, query.wait, fetch, lambda view, _: view.job.is_terminal or view.job.tick >= tick,
            min_tick=tick,
        )  # fmt: skip
        return result.add_retry_after(result.value.to_response(always_full=result.timed_out))
    result = wait_for(
        name, query.wait, fetch, _ChangeDetector(), ticks_after=PROGRESS_AFTER_SECONDS
    )
    return result.add_retry_after(result.value.to_response())


class _ChangeDetector:
    """Judges a wait for news of what the client has, or else of what there was at its beginning."""

    def __init__(self) -> None:
        self._first: JobView | None = None

    def __call__(self, view: JobView, waited_seconds: float) -> bool:
        if self._is_unchanged(view):
            return False
        return (
            waited_seconds >= PROGRESS_AFTER_SECONDS
            or view.significant_tag not in self._known_significant_tags()
        )

    def _is_unchanged(self, view: JobView) -> bool:
        if request.if_none_match:
            return etag_matches(request, view.etag)
        self._first = self._first or view
        return view.etag == self._first.etag

    def _known_significant_tags(self) -> set[str]:
        tags = request.if_none_match.as_set(include_weak=True)
        first = [self._first.etag] if self._first else []
        return {tag[:HALF_ETAG_LENGTH] for tag in (*tags, *first) if tag}  # None stands for W/""
