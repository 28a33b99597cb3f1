"""Run many jobs at once, one per SIMD lane; used by bench/ and the tests only, by no service.

All jobs have one kernel signature, and each has the bits of its run alone. Every lane has its own
data, order, rates, seed and number of ticks; one that has ended, or met a loss that is not finite,
is masked: it takes time and changes no other lane's bits.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

from ticks.engines.chunk import Chunk
from ticks.engines.native import cache
from ticks.engines.native.binding import BoundJob, JobStruct, allocate_work_area
from ticks.engines.native.codegen import VERSION
from ticks.engines.native.compiler import FLAGS, cpu_features
from ticks.engines.native.signature import KernelSignature, signature_of
from ticks.engines.native.tensors import tensor_placements
from ticks.trainer import Trainer

NEAREST_CACHE_BYTES = 32 << 10  # level 1 data cache of most processors
LaneGroup = tuple[KernelSignature, int]  # signature, parts: jobs of equal ones can share lanes


def lane_group(trainer: Trainer) -> LaneGroup:
    """Return what trainers must have in common to run in lanes: signature and number of parts."""
    return signature_of(trainer.spec), trainer.spec.micro_batches


def best_lane_count(signature: KernelSignature) -> int:
    """Return the fastest number of lanes here.

    16 where vectors have 16 floats and the weights of 16 jobs fit into the nearest cache, else 8.
    """
    weight_count = sum(tensor.lines * tensor.width for tensor in tensor_placements(signature))
    return 16 if "avx512f" in cpu_features() and 16 * 4 * weight_count <= NEAREST_CACHE_BYTES else 8


class LaneBatch:
    """Runs up to `lanes` trainers of one lane group together.

    Raises EngineUnavailable where their code cannot be compiled.
    """

    name = "native"
    version = VERSION

    def __init__(
        self,
        trainers: Sequence[Trainer],
        record: Sequence[str],
        lanes: int | None = None,
        folder: Path | None = None,
        flags: tuple[str, ...] = FLAGS,
    ) -> None:
        self.trainers, self.record = list(trainers), list(record)
        groups = {lane_group(trainer) for trainer in self.trainers}
        assert len(groups) == 1, "all of one lane group"
        ((self.signature, parts),) = groups
        self.lanes = lanes or best_lane_count(self.signature)
        assert 0 < len(self.trainers) <= self.lanes, "at least one job, at most one a lane"
        self._code = cache.load_kernel(self.signature, self.lanes, folder, flags)
        self._code.work_bytes.restype = ctypes.c_int64
        self._work = allocate_work_area(self._code.work_bytes(ctypes.c_int64(parts)))

    def run(self, ticks: Sequence[int]) -> list[Chunk]:
        """Run up to `ticks[i]` ticks of trainer i; a lane ends early at a non-finite loss."""
        jobs = (JobStruct * self.lanes)()
        pairs = zip(self.trainers, jobs, ticks, strict=False)
        bound = [BoundJob(trainer, self.signature, job, count) for trainer, job, count in pairs]
        for lane in range(len(bound), self.lanes):
            self._fill_lane(jobs[0], jobs[lane])
        self._code.run(ctypes.byref(jobs), ctypes.c_void_p(self._work.ctypes.data))
        return [bound_job.collect_results(self.record) for bound_job in bound]

    def _fill_lane(self, first: JobStruct, empty: JobStruct) -> None:
        """Bind an empty lane to the first one's data, with 0 ticks to run."""
        ctypes.memmove(ctypes.byref(empty), ctypes.byref(first), ctypes.sizeof(JobStruct))
        empty.ticks = 0
