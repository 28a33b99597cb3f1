"""Responses with a job: its JSON, its ETag, and when a long poll for it ends.

The ETag has two halves: one for all but progress, one for the whole. A long poll knows the
previous state by its ETag alone, and so can still tell progress, which ends it after a second, from
any other change, which ends it at once. Knows no store.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from flask import Response, request

from api.etag import JSON, compute_etag, etag_matches, response_or_304, set_etag
from api.forwarding import add_prefix
from api.long_polling import LongPoller
from api.schemas_events import JobPollQuery
from api.until import WaitEnd, read_until
from jobs.answers.answer import Answer
from jobs.history.history import HistoryReader
from jobs.job import QUESTION_KINDS, Job
from jobs.queries.notices import JobName
from jobs.submissions import Submission

#: seconds before which progress alone does not end a long poll
PROGRESS_AFTER_SECONDS = 1.0
HALF_ETAG_LENGTH = 16  # hex digits
#: fields whose changes are progress; and the spec, which never changes
PROGRESS_FIELDS = {
    "phase", "tick", "progress", "epoch", "loss", "metrics", "ticks_per_second",
    "elapsed_seconds", "eta_seconds", "queue", "bytes", "spec",
}  # fmt: skip
#: what neither half knows: the answer to a submission tells more than later ones, and is no change
UNTAGGED_FIELDS = {"warnings", "links"}
SUBRESOURCES = ("history", "events", "logs", "checkpoints", "attempts", "rows")


AnyJob = Job | Answer


@dataclass(frozen=True)
class JobView:
    """A job as it was read, with its JSON and ETag."""

    job: AnyJob

    @cached_property
    def text(self) -> str:
        """The JSON that clients see."""
        return job_json(self.job)

    @cached_property
    def significant_tag(self) -> str:
        """The first half of the ETag, which progress alone does not change."""
        excluded = PROGRESS_FIELDS | UNTAGGED_FIELDS
        return compute_etag(self.job.model_dump_json(exclude=excluded))[:HALF_ETAG_LENGTH]

    @cached_property
    def etag(self) -> str:
        """The ETag of the whole job."""
        progress = self.job.model_dump_json(include=PROGRESS_FIELDS - {"spec"})
        return self.significant_tag + compute_etag(progress)[:HALF_ETAG_LENGTH]

    def to_response(self, *, always_full: bool = False) -> Response:
        """Return the job, or 304 if the client has it and `always_full` is not set."""
        if always_full:
            return set_etag(Response(self.text, content_type=JSON), self.etag)
        return response_or_304(self.etag, lambda: Response(self.text, content_type=JSON))


def job_response(
    job: AnyJob, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a job with its ETag, from which a long poll may start."""
    view = JobView(job)
    return set_etag(Response(view.text, status, headers=headers, content_type=JSON), view.etag)


def submission_response(submission: Submission, headers: Mapping[str, str]) -> Response:
    """Return 202 with the job, or with the response that the same request had before."""
    if submission.is_replayed:
        headers = {**headers, "Idempotent-Replayed": "true"}
    if submission.job is not None:
        return job_response(submission.job, 202, headers)
    return Response(submission.stored_response, 202, headers=headers, content_type=JSON)


def new_job_response(submission: Submission) -> Response:
    """Return 202 with a new job and where it is, or with the response that it had before."""
    return submission_response(submission, {"Location": f"/v1/jobs/{submission.job_id}"})


def job_json(job: AnyJob) -> str:
    """Return the JSON of a job, with links to its parts; of an answer, to its net and dataset."""
    job_path = f"/v1/jobs/{job.id}"
    links = {"self": job_path}
    if isinstance(job, Job):
        links |= {part: f"{job_path}/{part}" for part in SUBRESOURCES}
    if job.kind in QUESTION_KINDS:
        links["checkpoint"] = f"/v1/jobs/{job.parent}/checkpoints/{job.tick}"
    if job.dataset is not None:
        del links["rows"]
        links["dataset"] = f"/v1/datasets/{job.dataset}"
        if job.kind == "predict":
            links["result"] = f"{job_path}/result"
    return job.model_copy(update={"links": add_prefix(links)}).model_dump_json()


def long_poll_job(
    long_poller: LongPoller,
    name: JobName,
    get_job: Callable[[str, str], AnyJob],
    query: JobPollQuery,
    history: HistoryReader,
) -> Response:
    """Return a job when what the query waits for has happened, or its time is over."""

    def fetch() -> JobView:
        return JobView(get_job(*name))

    wait_for = long_poller.wait_for
    if query.until is not None:
        end = read_until(query.until, partial(get_job, *name), history)
        return _long_poll_until(long_poller, name, fetch, query.wait, end)
    changed = _ChangeDetector()
    result = wait_for(name, query.wait, fetch, changed, ticks_after=PROGRESS_AFTER_SECONDS)
    return result.add_retry_after(result.value.to_response())


def _long_poll_until(
    long_poller: LongPoller,
    name: JobName,
    fetch: Callable[[], JobView],
    seconds: float,
    end: WaitEnd,
) -> Response:
    def look_and_fetch() -> tuple[bool, JobView]:
        is_met = end.look()  # before the job is read, so that it has got to the tick that was found
        return is_met, fetch()

    def is_over(news: tuple[bool, JobView], _: float) -> bool:
        is_met, view = news
        return is_met or view.job.is_terminal or view.job.tick >= end.tick

    result = long_poller.wait_for(name, seconds, look_and_fetch, is_over, min_tick=end.min_tick)
    view = result.value[1]
    response = view.to_response(always_full=result.timed_out)
    response.headers["X-Until-Met"] = "true" if end.is_met(view.job) else "false"
    return result.add_retry_after(response)


class _ChangeDetector:
    """Tells whether a job differs from what the client has, or else from the first look."""

    def __init__(self) -> None:
        self._first: JobView | None = None

    def __call__(self, view: JobView, waited_seconds: float) -> bool:
        if self._is_unchanged(view):
            return False
        is_progress_due = waited_seconds >= PROGRESS_AFTER_SECONDS
        return is_progress_due or view.significant_tag not in self._known_significant_tags()

    def _is_unchanged(self, view: JobView) -> bool:
        if request.if_none_match:
            return etag_matches(view.etag)
        self._first = self._first or view
        return view.etag == self._first.etag

    def _known_significant_tags(self) -> set[str]:
        tags = request.if_none_match.as_set(include_weak=True)
        first = [self._first.etag] if self._first else []
        return {tag[:HALF_ETAG_LENGTH] for tag in (*tags, *first) if tag}  # None stands for W/""
