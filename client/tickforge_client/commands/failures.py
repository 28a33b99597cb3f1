"""Errors of a command: how they are printed, its exit code, and which jobs they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tickforge_client.commands.common import EXIT_FAILED, CommonOptions, echo, print_json
from tickforge_client.errors import (
    AnswerFailed,
    DamagedOnServer,
    ExportError,
    InvalidInput,
    NotAuthorized,
    NotConfigured,
    Problem,
    ServerError,
    TickforgeError,
    Unreachable,
)

#: exit codes: the request is wrong; the server or the network is failing
EXIT_USAGE, EXIT_UNAVAILABLE = 2, 3


def error_exit_code(error: TickforgeError) -> int:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, AnswerFailed):
        return EXIT_FAILED
    is_refused = isinstance(error, Problem) and not isinstance(error, ServerError)
    is_wrong = isinstance(error, NotConfigured | InvalidInput | ExportError)
    return EXIT_USAGE if is_refused or is_wrong else EXIT_UNAVAILABLE


def print_error(error: TickforgeError, *, as_json: bool) -> None:
    """Print an error, with the job that it is about if there are several, to standard error."""
    if as_json:
        job = {} if error.job_id is None else {"job_id": error.job_id}
        print_json({**job, **error.document()}, err=True)
    else:
        job_text = "" if error.job_id is None else f"{error.job_id}: "
        echo(f"tickforge: {job_text}{error}", err=True)


class JobFailures:
    """Which of several jobs something went wrong with, while the command went on with the others.

    `exit_code`: the highest of their errors, or 0.
    """

    def __init__(self, common: CommonOptions) -> None:
        self._common = common
        self.job_ids: set[str] = set()
        self.exit_code = 0

    @contextmanager
    def collect(self, job_id: str) -> Iterator[None]:
        """Print an error about this job; raise one that would be the same of every other job."""
        try:
            yield
        except OSError as error:
            self._add(job_id, ExportError(str(error)))
        except TickforgeError as error:
            error.job_id = job_id
            if _concerns_all(error):
                raise
            self._add(job_id, error)

    def _add(self, job_id: str, error: TickforgeError) -> None:
        error.job_id = job_id
        print_error(error, as_json=self._common.json)
        self.job_ids.add(job_id)
        self.exit_code = max(self.exit_code, error_exit_code(error))


def _concerns_all(error: TickforgeError) -> bool:
    """Return whether an error is about the server or the key rather than about a job."""
    is_busy = isinstance(error, ServerError) and not isinstance(error, DamagedOnServer)
    return is_busy or isinstance(error, Unreachable | NotAuthorized | NotConfigured)
