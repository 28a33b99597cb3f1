"""Where a worker stands: its name, its queue and device, its settings, its desk. Values only."""

from dataclasses import dataclass

from jobs.settings import Settings
from workers.worker_folder import WorkerFolder


@dataclass(frozen=True)
class WorkerConfig:
    """What both processes of a worker are told at their start."""

    name: str
    queue: str  # "cpu" or "cuda"
    settings: Settings
    worker_folder: WorkerFolder

    @property
    def device(self) -> str:
        """What this worker's trainers compute on: a queue is for a kind of device."""
        return self.queue
