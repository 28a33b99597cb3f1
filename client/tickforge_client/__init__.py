"""Python client of Tickforge: submit a spec, wait, read its history, download checkpoints."""

from tickforge_client._version import __version__
from tickforge_client.checkpoints import AsyncCheckpoint, Checkpoint
from tickforge_client.client import AsyncClient, Client
from tickforge_client.datasets import AsyncDataset, Dataset
from tickforge_client.errors import (
    AnswerFailed,
    Conflict,
    CorruptDownload,
    DamagedOnServer,
    ExportError,
    FileChanged,
    InvalidInput,
    InvalidRequest,
    InvalidWebhook,
    JobTimeout,
    MissingPackage,
    NotAuthorized,
    NotConfigured,
    NotFound,
    Problem,
    ServerError,
    TickforgeError,
    UnexpectedAnswer,
    Unreachable,
)
from tickforge_client.events import Event
from tickforge_client.history import History, Sparse
from tickforge_client.job import AsyncJob, Job
from tickforge_client.job_exports import ExportedJob
from tickforge_client.logs import Log
from tickforge_client.notebook import JobList
from tickforge_client.signatures import verify_webhook

__all__ = [
    "AnswerFailed",
    "AsyncCheckpoint",
    "AsyncClient",
    "AsyncDataset",
    "AsyncJob",
    "Checkpoint",
    "Client",
    "Conflict",
    "CorruptDownload",
    "DamagedOnServer",
    "Dataset",
    "Event",
    "ExportError",
    "ExportedJob",
    "FileChanged",
    "History",
    "InvalidInput",
    "InvalidRequest",
    "InvalidWebhook",
    "Job",
    "JobList",
    "JobTimeout",
    "Log",
    "MissingPackage",
    "NotAuthorized",
    "NotConfigured",
    "NotFound",
    "Problem",
    "ServerError",
    "Sparse",
    "TickforgeError",
    "UnexpectedAnswer",
    "Unreachable",
    "__version__",
    "verify_webhook",
]
