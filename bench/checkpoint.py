"""A checkpoint of 300 MB: how long it holds the training up, saved in the background and at once.

A real trainer process, commanded as a runner does it, saves its state in the background while it
trains on, and at once, in turn. *Held up* is the time from one tick's reply to the moment when the
next may be requested.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.engines import ADAMW, ON_TABLE
from bench.report import Figure, ratio
from bench.timing import time_call
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore
from jobs.job import Lease
from jobs.spec.reading import read_spec
from workers.forkserver_client import ForkServerProcess, spawn_trainer
from workers.trainer_client import SavedState, StateNotWritten, TrainerClient

#: 25 million parameters, with AdamW's two moments 300 MB
LARGE: dict[str, Any] = {
    "model": {"family": "mlp", "hidden": [4_950, 4_950]},
    "data": {**ON_TABLE, "samples": 256},
    "batch_size": 1,
    "optimizer": ADAMW,
    "budget": {"ticks": 1_000_000},
    "compute": {"engine": "eager"},
}
LEASE = Lease("default", "job_of_a_bench", term=1, nonce="0" * 32)
TICKS_BETWEEN = 5  # ticks between two checkpoints


def measure(rounds: int) -> list[Figure]:
    """Save in the background and at once, in turn."""
    with tempfile.TemporaryDirectory(prefix="tickforge-bench-") as folder:
        files = ArtifactStore(Path(folder) / "artifacts")
        template = ForkServerProcess(Path(folder) / "t.sock")
        template.start()
        process = spawn_trainer(template.socket_path)
        try:
            return _figures(CheckpointBench(TrainerClient(process.connection), files), rounds)
        finally:
            process.close()
            template.stop()


class CheckpointBench:
    """A trainer of the large net, and folders for its states."""

    def __init__(self, trainer: TrainerClient, files: ArtifactStore) -> None:
        self.trainer, self._files = trainer, files
        spec = read_spec(LARGE, max_parameters=10**9)
        trainer.build(spec.to_stored(), "cpu", None, background_saves=True)
        self.time_ticks(TICKS_BETWEEN)

    def time_ticks(self, count: int) -> list[float]:
        """Train single ticks; return the seconds of each."""
        return [time_call(lambda: self.trainer.run(1)) for _ in range(count)]

    def save_in_background(self) -> tuple[float, float, list[float], int]:
        """Return seconds held up, until it is on disk, and of ticks meanwhile; and its bytes."""
        started = time.perf_counter()
        folder = checkpoint_folders.new_folder(self._files, LEASE)
        assert self.trainer.save_in_background(folder) is None, "it is not small enough to wait for"
        held_up, ticks = time.perf_counter() - started, list[float]()
        outcome: SavedState | StateNotWritten | None = None
        while outcome is None:
            tick_started = time.perf_counter()
            outcome = self.trainer.run(1).save_result
            ticks.append(time.perf_counter() - tick_started)
        assert isinstance(outcome, SavedState), outcome
        written = time.perf_counter() - started
        return held_up, written, ticks, self._complete(folder, outcome)

    def save_at_once(self) -> float:
        """Return the seconds until the state is a checkpoint; nothing is trained meanwhile."""
        started = time.perf_counter()
        folder = checkpoint_folders.new_folder(self._files, LEASE)
        self._complete(folder, self.trainer.save(folder))
        return time.perf_counter() - started

    def _complete(self, folder: Path, saved: SavedState) -> int:
        checkpoint = checkpoint_folders.publish(
            self._files, LEASE, folder, tick=saved.tick, state=saved.state_digest, metrics={},
            is_best=False, is_final=False,
        )  # fmt: skip
        checkpoint_folders.remove_folder(self._files, LEASE.tenant, LEASE.job_id, checkpoint)
        return checkpoint.bytes


def _figures(bench: CheckpointBench, rounds: int) -> list[Figure]:
    held_up, at_once, rates, alone, meanwhile = ([] for _ in range(5))  # type: ignore[var-annotated]
    for _ in range(rounds):
        alone.append(statistics.median(bench.time_ticks(TICKS_BETWEEN)))
        seconds, written, ticks, size = bench.save_in_background()
        held_up.append(1000 * seconds)
        rates.append(size / 1e6 / written)
        meanwhile.append(statistics.median(ticks))
        at_once.append(1000 * bench.save_at_once())
    return [
        Figure("a checkpoint's files", "MB", [size / 1e6]),
        Figure("training held up, written aside", "ms", held_up),
        Figure("training held up, written at once and completed", "ms", at_once),
        ratio("at once against aside", at_once, held_up),
        Figure("written aside, until all lies on disk", "MB/s", rates),
        Figure("a tick with nothing beside it", "ms", [1000 * value for value in alone]),
        ratio("a tick's time while a state is written, against that", meanwhile, alone),
    ]
