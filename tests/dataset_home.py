"""A tenant's datasets on disk, and trainings on them in this process."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from jobs.datasets.repository import DatasetRepository
from jobs.files.artifacts import ArtifactStore
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import ParseOptions
from jobs.spec.reading import read_spec
from jobs.spec.stored import read_stored_spec
from jobs.store.connection import Store
from tests.datasets import CSV, spec_on_dataset
from tests.training_records import CPU, RunRecord, engine_of, run_and_record
from ticks import machine
from ticks.training import TrainingRun


class Home:
    """A tenant's datasets on disk, and trainings on them."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.folder = folder
        self.datasets = DatasetRepository(store, ArtifactStore(folder), max_bytes=1 << 24)

    def add(self, data: bytes, kind: Any = CSV, **options: Any) -> str:
        with self.datasets.start_upload(kind, ParseOptions(**options)) as upload:
            upload.write(data)
            return self.datasets.add("a", upload.finish(), name="").dataset.id

    def spec(self, dataset_id: str, target: str | None = "label", **changes: Any) -> JobSpec:
        body = spec_on_dataset(
            dataset_id, target, **{"batch_size": 16, "budget": {"ticks": 20}, **changes}
        )
        spec = read_spec(
            body,
            max_parameters=10**6,
            datasets=lambda referenced_id: self.datasets.look_up("a", referenced_id),
        )
        return read_stored_spec(spec.to_stored())  # as a trainer gets it

    def training(self, spec: JobSpec) -> TrainingRun:
        machine.configure_torch(1)
        return TrainingRun(spec, CPU, artifacts=self.folder, engine=engine_of(spec))

    def train_and_record(self, spec: JobSpec) -> RunRecord:
        return run_and_record(self.training(spec))


def import_model_file(folder: Path) -> ModuleType:
    """Import the model.py of a checkpoint's folder, as its user would."""
    location = importlib.util.spec_from_file_location(f"model_{folder.name}", folder / "model.py")
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module
