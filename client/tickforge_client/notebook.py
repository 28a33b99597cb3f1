"""Jobs as HTML, which notebooks show: their fields, and their curves as the server draws them.

A picture is embedded as an image, so that nothing in it reaches the page. All texts are escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from html import escape
from typing import Any, NamedTuple, Self, TypeVar

from tickforge_client import curves, formatting
from tickforge_client.blocking import run
from tickforge_client.errors import TickforgeError, Unreachable
from tickforge_client.http import ApiSession
from tickforge_client.paths import api_path

T = TypeVar("T")

#: pixels of a job's curve, and of one in a list
CURVE_SIZE, SMALL_CURVE_SIZE = (640, 320), (240, 120)
#: jobs of a list that are shown, and of these the first ones with a curve
MAX_SHOWN, MAX_CURVES = 100, 20
_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"


class Shown(NamedTuple):
    """A job as HTML, and its fields as they are there."""

    html: str
    fields: formatting.Fields


def show_job(session: ApiSession, fields: formatting.Fields, *, is_final: bool) -> Shown:
    """Return a job: one line about it, its metrics, and its curve.

    A job that may have gone on is fetched again; where that fails, what was known is shown, with
    the reason.
    """
    with _Display(session) as display:
        fetched = fields if is_final else display.get(lambda one: _fetch(one, fields["id"]))
        known = fields if fetched is None else fetched
        reason = "" if fetched is not None else f"(as last fetched: {display.failure})"
        curve = "" if reason else _curve(display, known, *CURVE_SIZE)
    name = escape(formatting.plain_text(known["name"]))
    head = f"<b>{name}</b> <code>{escape(known['id'])}</code>"
    lines = [formatting.progress_line(known), formatting.metrics_text(known["metrics"]), reason]
    if error := known["error"]:
        lines.append(formatting.plain_text(f"{error['type']}: {error['detail']}"))
    texts = "".join(f"<div>{escape(line)}</div>" for line in lines if line)
    return Shown(f"<div>{head}{texts}{curve}</div>", known)


async def _fetch(session: ApiSession, job_id: str) -> formatting.Fields:
    return await session.get(api_path("jobs", job_id))


class _Display:
    """Asks for what is shown at once; a service that is away is asked once, and no more."""

    def __init__(self, session: ApiSession) -> None:
        self._session, self._is_away = session.for_display(), False
        self.failure = ""  # of the newest request

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        run(self._session.close())

    def get(self, ask: Callable[[ApiSession], Awaitable[T]]) -> T | None:
        """Return what is asked for, or None, and `failure` says why."""
        if self._is_away:
            return None
        try:
            return run(ask(self._session))
        except TickforgeError as error:
            self._is_away = isinstance(error, Unreachable)
            self.failure = formatting.plain_text(str(error).splitlines()[0])
            return None


class JobList(list[Any]):
    """Jobs that a notebook shows as a table with their curves: JobList(client.jobs(name="a"))."""

    def _repr_html_(self) -> str:
        shown = self[:MAX_SHOWN]
        displays: dict[ApiSession, _Display] = {}
        with ExitStack() as stack:
            for job in shown[:MAX_CURVES]:
                if job.session not in displays:
                    displays[job.session] = stack.enter_context(_Display(job.session))
            rows = [
                _row(job, displays[job.session] if at < MAX_CURVES else None)
                for at, job in enumerate(shown)
            ]
        rest = len(self) - len(shown)
        note = f"<div>and {rest} more</div>" if rest else ""
        return f"<table>{_cells('th', ('job', 'status', 'loss'))}{''.join(rows)}</table>{note}"


def _row(job: Any, display: _Display | None) -> str:
    fields = job.fields
    name = f"{escape(formatting.plain_text(fields['name']))}<br><code>{escape(fields['id'])}</code>"
    state = (
        f"{escape(formatting.status_text(fields))}<br>tick {escape(formatting.ticks_text(fields))}"
    )
    curve = _curve(display, fields, *SMALL_CURVE_SIZE) if display else ""
    loss = escape(formatting.number_text(fields["loss"]))
    return _cells("td", (name, state, f"{loss}<br>{curve}" if curve else loss))


def _cells(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _curve(display: _Display, fields: formatting.Fields, width: int, height: int) -> str:
    """Return the curve of a training that has ticks, or why there is none."""
    if fields["kind"] != "train" or not fields["tick"]:
        return ""
    job_id = fields["id"]
    svg = display.get(lambda one: curves.fetch(one, job_id, "svg", width=width, height=height))
    if svg is None:
        return f"<div>(no curve: {escape(display.failure)})</div>"
    data = base64.b64encode(svg).decode()
    name = escape(formatting.plain_text(fields["name"]), quote=True)
    return f'<img alt="loss of {name}" width="{width}" src="data:image/svg+xml;base64,{data}">'
