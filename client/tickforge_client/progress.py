"""Shows a running job: progress bar and live curve in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from tickforge_client import formatting
from tickforge_client.job import Job

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: seconds between two plain lines, and between two requests of the curve
LINE_INTERVAL_SECONDS, CURVE_INTERVAL_SECONDS = 2.0, 1.0
#: characters; a wider curve shows no more detail
MAX_CURVE_WIDTH = 96
STATUS_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "red", "paused": "yellow"}


def show_progress(job: Job, out: TextIO) -> bool:
    """Show a job on `out` until it has ended; return whether its curve was drawn."""
    if is_live(out):
        _show_live(job, out)
        return True
    _print_lines(job, out)
    return False


def is_live(out: TextIO) -> bool:
    """Return whether `out` is a terminal on which lines can be drawn again."""
    return out.isatty() and os.environ.get("TERM") != "dumb"


def curve_lines(job: Job, column: str = "loss", *, width: int = 64, out: TextIO) -> list[str]:
    """Return the lines of a job's curve, in characters that `out` can encode."""
    return job.curve_lines(out.encoding, columns=column, width=width)


def _print_lines(job: Job, out: TextIO) -> None:
    last_state: object = None
    printed_at = 0.0
    for _ in job.changes():
        state = job.status, job.fields["requested"]
        if state == last_state and time.monotonic() < printed_at + LINE_INTERVAL_SECONDS:
            continue
        last_state, printed_at = state, time.monotonic()
        print(formatting.progress_line(job.fields), file=out, flush=True)


def _show_live(job: Job, out: TextIO) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out)
    width = max(16, min(MAX_CURVE_WIDTH, console.width - 14))
    chart_lines: list[str] = []
    tick, drawn_at = 0, 0.0
    with Live(console=console, auto_refresh=False) as live:
        for _ in job.changes():
            is_due = job.ended or time.monotonic() > drawn_at + CURVE_INTERVAL_SECONDS
            if job.tick > tick and is_due:
                chart_lines = curve_lines(job, width=width, out=out)
                tick, drawn_at = job.tick, time.monotonic()
            live.update(_frame(job, chart_lines, console), refresh=True)


def _frame(job: Job, chart_lines: list[str], console: Console) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    fields = job.fields
    name = (formatting.plain_text(job.name), "bold")
    progress = (formatting.progress_line(fields), STATUS_COLOURS.get(job.status, ""))
    head = Text.assemble(name, "  ", progress, overflow="ellipsis", no_wrap=True)
    fraction = 1.0 if job.status == "succeeded" else float(fields["progress"])
    bar = ProgressBar(total=1.0, completed=fraction, width=min(console.width, MAX_CURVE_WIDTH + 12))
    # a Text interprets no markup: a job's name cannot style the screen
    return Group(head, bar, *(Text(line, no_wrap=True) for line in chart_lines))
