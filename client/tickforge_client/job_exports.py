"""A job's history in a folder of a tracker, for the command and for programs. Prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from tickforge_client.errors import Unreachable
from tickforge_client.export_state import Export, find_export
from tickforge_client.http import ApiSession
from tickforge_client.json_values import require_choice
from tickforge_client.trackers import EXPORTERS

TRACKERS = tuple(sorted(EXPORTERS))
#: trackers whose files grow with a job; of others a job is exported when it has ended: a second
#: `wandb sync` of a run that has grown sends the steps of the first one again
GROWING = ("tensorboard",)


class ExportedJob(NamedTuple):
    """The file of an export, the last tick in it, and whether the job has ended and all is there.

    `path` is None where nothing is written before the job has ended.
    """

    path: Path | None
    last_tick: int
    complete: bool


async def open_export(
    session: ApiSession,
    job_id: str,
    name: str,
    path: Path,
    to: str,
    columns: str | Sequence[str] | None,
    *,
    lineage: bool,
) -> Export:
    """Return what a job's export in a folder has so far. Raises InvalidInput, ExportError."""
    require_choice("to", to, TRACKERS)
    query = {} if columns is None else {"columns": columns}
    if not isinstance(columns, str | None):
        query = {"columns": ",".join(map(str, columns))}
    query |= {"lineage": "true"} if lineage else {}
    return await session.call(find_export, path, job_id, name, to, urlencode(query))


async def write_new(session: ApiSession, export: Export, *, has_ended: bool) -> Export:
    """Export what is new, if it is due; an answer that breaks off is asked for again, for a while.

    Raises Problem, Unreachable, ExportError, UnexpectedAnswer, OSError.
    """
    if not (has_ended or export.tracker in GROWING):
        return export
    backoff = session.new_backoff()
    while True:
        try:
            return await EXPORTERS[export.tracker](session, export)
        except Unreachable as error:
            await backoff.wait(error)


def describe(export: Export) -> ExportedJob:
    """Return how far an export is."""
    return ExportedJob(export.path if export.file else None, export.tick, export.is_complete)
