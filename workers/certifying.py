"""What a certificate says beside the comparison: digests of spec, data and files. Knows no loop."""

import hashlib
import json
from typing import Any

from jobs import checkpoints
from jobs.certificate import Bits, Difference, Pair
from jobs.files import ArtifactStore, remove_tree
from jobs.job import Lease
from jobs.spec.data import EXAMPLES_FOLDER, DatasetData, ExampleData
from jobs.spec.facts import DataFile
from jobs.spec.job_spec import JobSpec
from workers.trainer import NotWritten, Trainer


def canonical_sha256(value: Any) -> str:
    """Return the sha256 of a JSON value: UTF-8, names sorted, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def spec_sha256(spec: JobSpec) -> str:
    """Return the sha256 of a spec as clients see it."""
    return canonical_sha256(spec.model_dump(mode="json"))


def data_sha256(spec: JobSpec, files: ArtifactStore) -> Pair:
    """Return the sha256 of a spec's data: as it was recorded, and of what lies there now."""
    if isinstance(spec.data, DatasetData) and spec.facts is not None:
        return _of_file(spec.facts.data, files)
    if isinstance(spec.data, ExampleData):
        (file,) = (EXAMPLES_FOLDER / f"{spec.data.name}{end}" for end in _endings(spec.data.name))
        return Pair(recorded=None, recomputed=hashlib.sha256(file.read_bytes()).hexdigest())
    told = canonical_sha256(spec.data.model_dump(mode="json"))
    return Pair(recorded=told, recomputed=told)


def validation_sha256(spec: JobSpec, files: ArtifactStore) -> Pair | None:
    """Return the same of a second dataset; None where there is none."""
    if spec.facts is None or spec.facts.validation is None:
        return None
    return _of_file(spec.facts.validation, files)


def weights_sha256(trainer: Trainer, files: ArtifactStore, lease: Lease) -> str | None:
    """Have the weights written once more and return their sha256; None: the disk is full."""
    folder = None
    try:
        folder = checkpoints.new_folder(files, lease)
        trainer.save(folder)
        return files.compute_sha256(folder / checkpoints.WEIGHTS_FILE)
    except (NotWritten, OSError):
        return None
    finally:
        if folder is not None:
            remove_tree(folder)


def unequal_files(tick: int, what: str, pair: Pair | None) -> Difference | None:
    """Tell that two digests of one file are not equal, where both are known."""
    if pair is None or None in (pair.recorded, pair.recomputed) or pair.recorded == pair.recomputed:
        return None
    recorded, recomputed = (Bits(bits=text or "") for text in (pair.recorded, pair.recomputed))
    return Difference(tick=tick, column=what, recorded=recorded, recomputed=recomputed)


def _of_file(source: DataFile, files: ArtifactStore) -> Pair:
    return Pair(recorded=source.sha256, recomputed=files.compute_sha256(files.root / source.path))


def _endings(name: str) -> list[str]:
    return [end for end in (".csv", ".txt") if (EXAMPLES_FOLDER / f"{name}{end}").exists()]
