"""Follows a job on the screen: bar, rate and live curve in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from tickforge_client import chart, text
from tickforge_client.job import Job

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: seconds between two plain lines, and between two readings of the curve
BETWEEN_LINES, BETWEEN_CURVES = 2.0, 1.0
#: columns of the curve at most: a wider one shows no more
WIDEST = 96
_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "red", "paused": "yellow"}


def follow(job: Job, out: TextIO) -> bool:
    """Show a job on `out` until it has ended; True if its curve stands there now."""
    if out.isatty() and os.environ.get("TERM") != "dumb":
        _live(job, out)
        return True
    _lines(job, out)
    return False


def curve(job: Job, column: str = "loss", *, width: int = 64, out: TextIO) -> list[str]:
    """The lines of a job's curve, in what `out` can show."""
    view = job.view(column, points=width * chart.ACROSS)
    points = chart.points_of(view, column)
    return chart.draw(points, width=width, braille=chart.can_show(out.encoding))


def _lines(job: Job, out: TextIO) -> None:
    said: object = None
    at = 0.0
    for _ in job.changes():
        turn = job.status, job.fields["requested"]
        if turn == said and time.monotonic() < at + BETWEEN_LINES:
            continue
        said, at = turn, time.monotonic()
        print(text.progress_line(job.fields), file=out, flush=True)


def _live(job: Job, out: TextIO) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out)
    width = max(16, min(WIDEST, console.width - 14))
    drawn: list[str] = []
    tick, at = 0, 0.0
    with Live(console=console, auto_refresh=False) as live:
        for _ in job.changes():
            if job.tick > tick and (job.ended or time.monotonic() > at + BETWEEN_CURVES):
                drawn = curve(job, width=width, out=out)
                tick, at = job.tick, time.monotonic()
            live.update(_frame(job, drawn, console), refresh=True)


def _frame(job: Job, drawn: list[str], console: Console) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    fields = job.fields
    head = Text.assemble(
        (text.plain(job.name), "bold"),
        "  ",
        (text.progress_line(fields), _COLOURS.get(job.status, "")),
        overflow="ellipsis",
        no_wrap=True,
    )
    done = 1.0 if job.status == "succeeded" else float(fields["progress"])
    bar = ProgressBar(total=1.0, completed=done, width=min(console.width, WIDEST + 12))
    # no markup is read from a Text: a job's name cannot style the screen
    return Group(head, bar, *(Text(line, no_wrap=True) for line in drawn))
