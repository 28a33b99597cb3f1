"""Shows several jobs: a line each, with a small curve, in a terminal; plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TextIO

from tickforge_client import formatting
from tickforge_client.progress import LINE_INTERVAL_SECONDS, STATUS_COLOURS, is_live
from tickforge_client.sparklines import sparkline
from tickforge_client.watched_jobs import POINTS, WatchedJob, follow

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: columns between the name and the small curve: title, width in characters, side
COLUMNS: tuple[tuple[str, int, Literal["left", "right"]], ...] = (
    ("STATUS", 9, "left"), ("PROGRESS", 8, "left"), ("", 4, "right"),
    ("TICKS/S", 9, "right"), ("ETA", 10, "right"), ("LOSS", 10, "right"),
)  # fmt: skip
#: of all of them, with a blank before and after each
FIXED_WIDTH = sum(width for _, width, _ in COLUMNS) + len(COLUMNS) + 1
BAR_WIDTH = 8
MIN_NAME_WIDTH, MAX_NAME_WIDTH = 8, 24


def show_several(watched: Sequence[WatchedJob], out: TextIO) -> None:
    """Show jobs on `out` until all have ended or were deleted."""
    (_show_live if is_live(out) else _print_lines)(watched, out)


def _print_lines(watched: Sequence[WatchedJob], out: TextIO) -> None:
    width = max(len(formatting.plain_text(one.job.name)) for one in watched)
    states: dict[str, object] = {}
    ticks: dict[str, int] = {}
    printed_at: dict[str, float] = {}
    for one in follow(watched, with_losses=False):
        job, now = one.job, time.monotonic()
        state = one.status, job.fields["requested"]
        is_due = now >= printed_at.get(job.id, 0.0) + LINE_INTERVAL_SECONDS
        if state == states.get(job.id) and not (is_due and job.tick != ticks[job.id]):
            continue
        states[job.id], ticks[job.id], printed_at[job.id] = state, job.tick, now
        text = "deleted" if one.is_deleted else formatting.progress_line(job.fields)
        name = formatting.plain_text(job.name)
        print(f"{job.id}  {name:<{width}}  {text}", file=out, flush=True)


def _show_live(watched: Sequence[WatchedJob], out: TextIO) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for _ in follow(watched, with_losses=True):
            live.update(_board(watched, console, out.encoding), refresh=True)


def _board(watched: Sequence[WatchedJob], console: Console, encoding: str) -> RenderableType:
    """Return a table of the jobs, those that run first where not all have a place."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    places = max(1, console.height - 3)
    shown = list(watched)
    if len(shown) > places:
        shown.sort(key=lambda one: (one.is_over, one.job.status != "running"))
    free = console.width - FIXED_WIDTH
    name_width = max(MIN_NAME_WIDTH, min(MAX_NAME_WIDTH, free // 2))
    curve_width = max(1, min(POINTS, free - name_width))
    table, titles = Table.grid(padding=(0, 1)), list[Text]()
    for title, width, side in (("NAME", name_width, "left"), *COLUMNS, ("", curve_width, "left")):
        table.add_column(width=width, justify=side, no_wrap=True, overflow="ellipsis")
        titles.append(Text(title, "dim"))
    table.add_row(*titles)
    for one in shown[:places]:
        table.add_row(*_cells(one, curve_width, encoding))
    rest = Counter(one.status for one in shown[places:])
    counts = ", ".join(f"{count} {status}" for status, count in rest.items())
    return Group(table, Text(f"and {rest.total()} more: {counts}")) if rest else table


def _cells(one: WatchedJob, curve_width: int, encoding: str) -> list[RenderableType]:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    fields, is_running = one.job.fields, one.status == "running"
    fraction = 1.0 if one.status == "succeeded" else float(fields["progress"])
    rate = fields["ticks_per_second"] if is_running else None
    eta = fields["eta_seconds"] if is_running else None
    curve = sparkline(one.losses, encoding)
    # a Text interprets no markup: a job's name cannot style the screen
    return [
        Text(formatting.plain_text(one.job.name), "bold"),
        Text(one.status, STATUS_COLOURS.get(one.status, "")),
        ProgressBar(total=1.0, completed=fraction, width=BAR_WIDTH),
        Text(f"{fraction:.0%}"),
        Text(f"{rate:,.0f}" if rate else ""),
        Text(formatting.duration_text(eta) if eta is not None else ""),
        Text(formatting.number_text(fields["loss"])),
        Text(curve[:: -(-len(curve) // curve_width)] if curve else ""),
    ]
