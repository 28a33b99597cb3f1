"""Python client of Tickforge: submit a spec, wait, read the history, download checkpoints."""

from tickforge_client.checkpoints import Checkpoint
from tickforge_client.client import Client
from tickforge_client.errors import (
    Conflict,
    CorruptDownload,
    InvalidRequest,
    JobTimeout,
    NotAuthorized,
    NotConfigured,
    NotFound,
    Problem,
    ServerTrouble,
    TickforgeError,
    UnexpectedAnswer,
    Unreachable,
)
from tickforge_client.history import History, Sparse
from tickforge_client.job import Job

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Client",
    "Conflict",
    "CorruptDownload",
    "History",
    "InvalidRequest",
    "Job",
    "JobTimeout",
    "NotAuthorized",
    "NotConfigured",
    "NotFound",
    "Problem",
    "ServerTrouble",
    "Sparse",
    "TickforgeError",
    "UnexpectedAnswer",
    "Unreachable",
]
