"""A job as an answer: its JSON, its ETag, and when a wait for it ends.

The ETag has two halves: what matters, and how far it is. So a wait can tell progress alone, which
ends it after a second, from what ends it at once, though all it knows of before is a tag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from flask import Response, request

from api.etag import known, mark, not_modified, tag_of
from api.registrar import Call
from api.schemas_waits import JobLook
from api.waiting import NEVER
from jobs.job import Job

#: seconds of a wait before which progress alone does not end it
PROGRESS_AFTER = 1.0
HALF = 16  # hex digits of a tag that stand for what matters
#: what is progress alone; a spec never changes
PROGRESS = {
    "phase", "tick", "progress", "epoch", "loss", "metrics", "ticks_per_second",
    "elapsed_seconds", "eta_seconds", "queue", "bytes", "spec",
}  # fmt: skip
PARTS = ("history", "events", "logs", "checkpoints", "attempts")


@dataclass(frozen=True)
class Seen:
    """A job as it was at one look."""

    job: Job

    @cached_property
    def text(self) -> str:
        """Its JSON."""
        return text_of(self.job)

    @cached_property
    def matters(self) -> str:
        """The half of the tag that changes with more than progress."""
        return tag_of(self.job.model_dump_json(exclude=PROGRESS))[:HALF]

    @cached_property
    def tag(self) -> str:
        """The tag of the whole."""
        return self.matters + tag_of(self.text)[:HALF]

    def answer(self, *, whole: bool = False) -> Response:
        """Return it, or 304 for who has it, unless the `whole` is due."""
        if not whole and known(request, self.tag):
            return not_modified(self.tag)
        return mark(Response(self.text, content_type="application/json"), self.tag)


def told(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a verb with the job and its ETag, so that a wait may begin from it."""
    seen = Seen(job)
    body = Response(seen.text, status, headers=headers, content_type="application/json")
    return mark(body, seen.tag)


def text_of(job: Job) -> str:
    """Spell a job, with where its parts are."""
    here = f"/v1/jobs/{job.id}"
    links = {"self": here, **{part: f"{here}/{part}" for part in PARTS}}
    return job.model_copy(update={"links": links}).model_dump_json()


def awaited(call: Call, job_id: str, query: JobLook) -> Response:
    """Look at a job, and hold the answer for as long as is asked."""

    def look() -> Seen:
        return Seen(call.service.index.get_job(call.tenant, job_id))

    hold, name = call.service.waiting.hold, (call.tenant, job_id)
    if query.until is not None:
        tick = NEVER if query.until == "end" else int(query.until.removeprefix("tick:"))
        held = hold(
            name, query.wait, look, lambda seen, _: seen.job.is_terminal or seen.job.tick >= tick,
            least=tick,
        )  # fmt: skip
        return held.mark(held.value.answer(whole=held.over))
    held = hold(name, query.wait, look, _News(), ticks_after=PROGRESS_AFTER)
    return held.mark(held.value.answer())


class _News:
    """Judges a wait for news of what the client has, or else of what there was at its beginning."""

    def __init__(self) -> None:
        self._first: Seen | None = None

    def __call__(self, seen: Seen, waited: float) -> bool:
        if self._fits(seen):
            return False
        return waited >= PROGRESS_AFTER or seen.matters not in self._known_halves()

    def _fits(self, seen: Seen) -> bool:
        if request.if_none_match:
            return known(request, seen.tag)
        self._first = self._first or seen
        return seen.tag == self._first.tag

    def _known_halves(self) -> set[str]:
        tags = request.if_none_match.as_set(include_weak=True)
        first = [self._first.tag] if self._first else []
        return {tag[:HALF] for tag in (*tags, *first) if tag}  # None stands for W/""
