"""The digests of spec, data and weights in a certificate. Knows files; runs no tick."""

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO, cast

from jobs.certificate import Bits, Difference, Pair
from jobs.datasets.formats.joined_file import JoinedFile
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, remove_tree
from jobs.files.file_digests import hash_whole
from jobs.job import Lease
from jobs.spec.data import EXAMPLES_FOLDER, DatasetData, ExampleData
from jobs.spec.dataset_binding import DataFile
from jobs.spec.job_spec import JobSpec
from workers.trainer_client import StateNotWritten, TrainerClient


def canonical_sha256(value: Any) -> str:
    """Return the sha256 of a JSON value: UTF-8, names sorted, no spaces.

    Clients compute it from the shown value, so it keeps every number as written, unlike
    `api.json_body.body_digest`.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def spec_sha256(spec: JobSpec) -> str:
    """Return the sha256 of a spec as clients see it."""
    return canonical_sha256(spec.model_dump(mode="json"))


def data_sha256(spec: JobSpec, files: ArtifactStore) -> Pair:
    """Return the sha256 of a spec's data: the recorded one, and that of the data as it is now."""
    if isinstance(spec.data, DatasetData) and spec.facts is not None:
        return _file_digests(spec.facts.data, files)
    if isinstance(spec.data, ExampleData):
        (file,) = _example_files(spec.data.name)
        return Pair(recorded=None, recomputed=hashlib.sha256(file.read_bytes()).hexdigest())
    digest = canonical_sha256(spec.data.model_dump(mode="json"))
    return Pair(recorded=digest, recomputed=digest)


def validation_sha256(spec: JobSpec, files: ArtifactStore) -> Pair | None:
    """Return both sha256 of the validation dataset, as `data_sha256`; None if there is none."""
    if spec.facts is None or spec.facts.validation is None:
        return None
    return _file_digests(spec.facts.validation, files)


def test_sha256(spec: JobSpec, files: ArtifactStore) -> Pair | None:
    """Return both sha256 of the test's dataset, as `data_sha256`; None if there is none."""
    if spec.facts is None or spec.facts.test is None:
        return None
    return _file_digests(spec.facts.test, files)


def weights_sha256(trainer: TrainerClient, files: ArtifactStore, lease: Lease) -> str | None:
    """Return the sha256 of the trainer's weights, written once more; None on a disk error."""
    folder = None
    try:
        folder = checkpoint_folders.new_folder(files, lease)
        trainer.save(folder)
        return files.compute_sha256(folder / checkpoint_folders.WEIGHTS_FILE)
    except (StateNotWritten, OSError):
        return None
    finally:
        if folder is not None:
            remove_tree(folder)


def digest_difference(tick: int, column: str, digests: Pair | None) -> Difference | None:
    """Return the difference of two digests of `column`; None if equal or one is unknown."""
    old, new = (digests.recorded, digests.recomputed) if digests else (None, None)
    if old is None or new is None or old == new:
        return None
    return Difference(tick=tick, column=column, recorded=Bits(bits=old), recomputed=Bits(bits=new))


def _file_digests(source: DataFile, files: ArtifactStore) -> Pair:
    if not source.parts:
        recomputed = files.compute_sha256(files.root / source.path)
    else:
        with JoinedFile("", source.parts, lambda path: files.open(files.root / path)) as joined:
            recomputed = hash_whole(cast(BinaryIO, joined))
    return Pair(recorded=source.sha256, recomputed=recomputed)


def _example_files(name: str) -> list[Path]:
    return [file for ext in ("csv", "txt") if (file := EXAMPLES_FOLDER / f"{name}.{ext}").exists()]
