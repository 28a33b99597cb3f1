"""Jobs as HTML, which notebooks show: their fields, and their curves as the server draws them.

A picture is embedded as an image, so that nothing in it reaches the page. All texts are escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Any

from tickforge_client import curves, formatting
from tickforge_client.blocking import run
from tickforge_client.errors import TickforgeError
from tickforge_client.http import ApiSession

#: pixels of a job's curve, and of one in a list
CURVE_SIZE, SMALL_CURVE_SIZE = (640, 320), (240, 120)
#: jobs of a list that are shown, and of these the first ones with a curve
MAX_SHOWN, MAX_CURVES = 100, 20
_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"


def job_html(session: ApiSession, fields: formatting.Fields) -> str:
    """Return a job: one line about it, its metrics, and its curve."""
    name = escape(formatting.plain_text(fields["name"]))
    head = f"<b>{name}</b> <code>{escape(fields['id'])}</code>"
    lines = [formatting.progress_line(fields), formatting.metrics_text(fields["metrics"])]
    if error := fields["error"]:
        lines.append(formatting.plain_text(f"{error['type']}: {error['detail']}"))
    texts = "".join(f"<div>{escape(line)}</div>" for line in lines if line)
    return f"<div>{head}{texts}{_curve(session, fields, *CURVE_SIZE)}</div>"


class JobList(list[Any]):
    """Jobs that a notebook shows as a table with their curves: JobList(client.jobs(name="a"))."""

    def _repr_html_(self) -> str:
        shown = self[:MAX_SHOWN]
        rows = [_row(job, has_curve=at < MAX_CURVES) for at, job in enumerate(shown)]
        rest = len(self) - len(shown)
        note = f"<div>and {rest} more</div>" if rest else ""
        return f"<table>{_cells('th', ('job', 'status', 'loss'))}{''.join(rows)}</table>{note}"


def _row(job: Any, *, has_curve: bool) -> str:
    fields = job.fields
    name = f"{escape(formatting.plain_text(fields['name']))}<br><code>{escape(fields['id'])}</code>"
    state = (
        f"{escape(formatting.status_text(fields))}<br>tick {escape(formatting.ticks_text(fields))}"
    )
    curve = _curve(job.session, fields, *SMALL_CURVE_SIZE) if has_curve else ""
    loss = escape(formatting.number_text(fields["loss"]))
    return _cells("td", (name, state, f"{loss}<br>{curve}" if curve else loss))


def _cells(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _curve(session: ApiSession, fields: formatting.Fields, width: int, height: int) -> str:
    """Return the curve of a training that has ticks, or why there is none."""
    if fields["kind"] != "train" or not fields["tick"]:
        return ""
    display = session.for_display()
    try:
        svg = run(curves.fetch(display, fields["id"], "svg", width=width, height=height))
    except TickforgeError as error:
        return f"<div>(no curve: {escape(formatting.plain_text(str(error).splitlines()[0]))})</div>"
    finally:
        run(display.close())
    data = base64.b64encode(svg).decode()
    name = escape(formatting.plain_text(fields["name"]), quote=True)
    return f'<img alt="loss of {name}" width="{width}" src="data:image/svg+xml;base64,{data}">'
