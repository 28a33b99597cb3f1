"""A history as an offline run of Weights & Biases: a tar of the run's folder.

A tar tells a file's size before its bytes. So the log is made twice: the first time only the
lengths of its records are counted.
"""

import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from jobs.errors import NotExportable
from jobs.trackers.cells import Cells, repeat
from jobs.trackers.tick_blocks import TickBlock, TickRange
from jobs.trackers.wandb_log import FILE_HEADER, LogFrames
from jobs.trackers.wandb_records import closing_records, opening_records, tick_records

#: the size of more takes longer to count than clients wait for a first byte
MAX_RUN_TICKS = 5 * 10**6
FILE_MODE, FOLDER_MODE = 0o644, 0o755


def run_folder(ticks: TickRange) -> str:
    """Return the folder's name, which `wandb sync` knows an offline run by; it never changes."""
    created = datetime.fromtimestamp(ticks.created, UTC)
    return f"offline-run-{created:%Y%m%d_%H%M%S}-{ticks.job.id}"


def stream_run(ticks: TickRange) -> Iterator[bytes]:
    """Stream the tar. While the size is counted the pieces are empty. Raises NotExportable."""
    if (count := ticks.last - ticks.first + 1) > MAX_RUN_TICKS:
        raise NotExportable(f"a run has at most {MAX_RUN_TICKS:,} ticks here, and this {count:,}")
    return _stream_tar(ticks)


def _stream_tar(ticks: TickRange) -> Iterator[bytes]:
    folder = run_folder(ticks)
    yield _tar_head(folder, ticks.start, None)
    counted = LogFrames()
    for _ in _frame_log(ticks, counted, is_counted_only=True):
        yield b""
    yield _tar_head(f"{folder}/run-{ticks.job.id}.wandb", ticks.start, counted.size)
    written = LogFrames()
    yield FILE_HEADER
    yield from _frame_log(ticks, written, is_counted_only=False)
    assert written.size == counted.size, "both times it is the same log"
    yield bytes(-written.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _frame_log(ticks: TickRange, log: LogFrames, *, is_counted_only: bool) -> Iterator[bytes]:
    for records in _records(ticks):
        if is_counted_only:
            log.skip(records.lengths)
        yield b"" if is_counted_only else log.frame(records)


def _records(ticks: TickRange) -> Iterator[Cells]:
    start, summary = ticks.start, dict[str, Any]()
    opening = opening_records(ticks.job, start)
    yield from (repeat(record, 1) for record in opening)
    number = 1 + len(opening)
    for block in ticks.blocks():
        yield tick_records(block, start, number)
        number += block.ticks.size
        summary |= _newest(block, start)
    closing = closing_records(summary, number, status=ticks.status, seconds=ticks.elapsed_seconds)
    yield from (repeat(record, 1) for record in closing)


def _newest(block: TickBlock, start: float) -> dict[str, Any]:
    """Return the last value of each column of a block, and the tick and time of the last tick."""
    newest: dict[str, Any] = {}
    for column in block.columns:
        values = column.values if column.present is None else column.values[column.present]
        if values.size:
            newest[column.name] = float(values[-1])
    seconds = float(block.seconds[-1])
    return {**newest, "_timestamp": round(start + seconds, 6), "_runtime": round(seconds, 6),
            "_step": int(block.ticks[-1])}  # fmt: skip


def _tar_head(name: str, modified: float, size: int | None) -> bytes:
    """Return the head of a file, or of a folder where it has no size."""
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = int(modified), FILE_MODE
    if size is None:
        info.type, info.mode = tarfile.DIRTYPE, FOLDER_MODE
    else:
        info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)
