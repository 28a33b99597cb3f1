"""A progress bar of bytes on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tickforge_client import formatting


@contextmanager
def progress_bar(name: str, size: int) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar on standard error if that is a terminal; yield its update callback."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    name_column = TextColumn("{task.description}", markup=False)
    columns = (name_column, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(formatting.plain_text(name), total=size)
        yield lambda bytes_done: bar.update(task, completed=bytes_done)
