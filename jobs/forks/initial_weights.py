"""Weights of another job that a new one begins with: found, compared with its net, copied.

The copy lies in the new job's folder, so the other job may be deleted. Knows no tensor.
"""

from jobs import fault_points
from jobs.errors import CheckpointNotKept, NoSuchCheckpoint, NoSuchJob
from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, make_folder
from jobs.files.checkpoint_copies import copy_file
from jobs.files.checkpoint_folders import WEIGHTS_FILE, DamagedCheckpoint
from jobs.files.safetensors_header import BrokenHeader, read_shapes
from jobs.forks.held_folder import HeldFolder
from jobs.job import Checkpoint
from jobs.ledger.fork_start import ForkStart
from jobs.queries.jobs import JobQueries
from jobs.spec.base import FieldError, InvalidSpec
from jobs.spec.init import Init, InitWeights, find_misfits
from jobs.spec.job_spec import JobSpec
from jobs.store.connection import Store
from models.weight_shapes import Shapes

INIT_FOLDER = "init"


class InitialWeights:
    """Finds and copies the weights that specs name in `init`."""

    def __init__(self, store: Store, files: ArtifactStore) -> None:
        self._queries, self._files = JobQueries(store), files

    def bind(self, tenant: str, spec: JobSpec) -> JobSpec:
        """Return the spec with what is taken of the weights it names, not copied yet.

        Raises InvalidSpec for a job or checkpoint that is not there, and for weights that do not
        fit a strict `init`; or DamagedCheckpoint.
        """
        init = spec.init
        if init is None:
            return spec
        checkpoint = self._find(tenant, init)
        entry = next(file for file in checkpoint.files if file.name == WEIGHTS_FILE)
        here = spec.model.weight_shapes(spec.profile.features, spec.profile.outputs)
        misfits = dict(find_misfits(here, self._read_shapes(tenant, init.job, checkpoint)))
        if misfits and (init.strict or not here.keys() - misfits.keys()):
            raise InvalidSpec(
                [FieldError("/init", f"weights that fit: {rule}", name)
                 for name, rule in misfits.items()]
            )  # fmt: skip
        weights = InitWeights(
            path="",
            sha256=entry.sha256,
            bytes=entry.bytes,
            names=[name for name in here if name not in misfits],
            left_out=list(misfits.values()),
        )
        bound = init.model_copy(update={"tick": checkpoint.tick})
        return spec.model_copy(update={"init": bound, "weights": weights})

    def copy(
        self, tenant: str, spec: JobSpec, job_id: str, folder: HeldFolder
    ) -> tuple[JobSpec, ForkStart]:
        """Copy the weights into the folder of a new job; return its spec, and what it begins with.

        Raises what `bind` does, if the checkpoint has gone or is damaged by now.
        """
        assert spec.init is not None and spec.weights is not None, "bind comes first"
        checkpoint = self._find(tenant, spec.init)
        target = folder.path / INIT_FOLDER / WEIGHTS_FILE
        make_folder(target.parent)
        place = self._files, tenant, spec.init.job, checkpoint
        file, _ = checkpoint_folders.open_file(*place, WEIGHTS_FILE)
        with file:
            copy_file(file, target, folder.renew)
        fault_points.hit("fork:copy")
        if self._files.compute_sha256(target) != spec.weights.sha256:
            raise DamagedCheckpoint(f"{WEIGHTS_FILE} is not what was committed")
        path = f"{tenant}/{job_id}/{INIT_FOLDER}/{WEIGHTS_FILE}"
        weights = spec.weights.model_copy(update={"path": path})
        start = ForkStart(
            job_id=job_id,
            parent=None,
            tick=0,
            fields={"init_bytes": str(weights.bytes)},
            checkpoints=(),
            digests={},
            open_parts=(),
            size=weights.bytes,
            continues_bits=False,
        )
        return spec.model_copy(update={"weights": weights}), start

    def _find(self, tenant: str, init: Init) -> Checkpoint:
        selector = "latest" if init.tick is None else str(init.tick)
        try:
            return self._queries.get_checkpoint(tenant, init.job, selector)
        except NoSuchJob:
            rule = "a job of yours; there is none of this id"
            raise InvalidSpec([FieldError("/init/job", rule, init.job)]) from None
        except NoSuchCheckpoint:
            kind = self._queries.get_job(tenant, init.job).kind
            if kind != "train":
                rule = f"a job that trains a net; one of kind {kind} has none of its own"
                raise InvalidSpec([FieldError("/init/job", rule, init.job)]) from None
            saved = self._queries.list_checkpoints(tenant, init.job)
            rule = str(CheckpointNotKept(selector, [checkpoint.tick for checkpoint in saved]))
            raise InvalidSpec([FieldError("/init/tick", rule, init.tick)]) from None

    def _read_shapes(self, tenant: str, job_id: str, checkpoint: Checkpoint) -> Shapes:
        place = self._files, tenant, job_id, checkpoint
        file, _ = checkpoint_folders.open_file(*place, WEIGHTS_FILE)
        try:
            with file:
                return read_shapes(file)
        except BrokenHeader as error:
            raise DamagedCheckpoint(f"{WEIGHTS_FILE} has {error}") from error
