"""Many jobs of one form at once, one a SIMD lane, each bit-equal to its run alone. Decides nothing.

Every lane has its own data, order, rates, seed and number of ticks. One that has ended, or met a
loss that is not finite, is masked: it costs time and changes nobody's bits.
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

NEAREST_CACHE_BYTES = 32 << 10  # bytes of the data cache next to a core, of most processors
LaneGroup = tuple[KernelSignature, int]  # jobs of one kind may share lanes


def lane_group(trainer: Trainer) -> LaneGroup:
    """Return what trainers must have in common to run in lanes: the form, and the parts."""
    return signature_of(trainer.spec), trainer.spec.micro_batches


def best_lane_count(signature: KernelSignature) -> int:
    """Return how many lanes are the fastest here: 16 where a vector has so many and the weights of
    16 jobs stay in the nearest cache, else 8."""
    weight_count = sum(
        placement.lines * placement.width for placement in tensor_placements(signature)
    )
    return 16 if "avx512f" in cpu_features() and 16 * 4 * weight_count <= NEAREST_CACHE_BYTES else 8


class LaneBatch:
    """Runs up to `lanes` trainers of one kind together. Raises EngineUnavailable without a compiler."""

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
        assert len(groups) == 1, "all of one kind"
        ((self.signature, parts),) = groups
        self.lanes = lanes or best_lane_count(self.signature)
        assert 0 < len(self.trainers) <= self.lanes, "at least one job, at most one a lane"
        self._code = cache.load_kernel(self.signature, self.lanes, folder, flags)
        self._code.work_bytes.restype = ctypes.c_int64
        self._work = allocate_work_area(self._code.work_bytes(ctypes.c_int64(parts)))

    def run(self, ticks: Sequence[int]) -> list[Chunk]:
        """Run so many ticks of each; a lane ends early at a loss that is not finite."""
        jobs = (JobStruct * self.lanes)()
        pairs = zip(self.trainers, jobs, ticks, strict=False)
        bound_jobs = [
            BoundJob(trainer, self.signature, job, count) for trainer, job, count in pairs
        ]
        for lane in range(len(bound_jobs), self.lanes):
            self._fill_lane(jobs[0], jobs[lane])
        self._code.run(ctypes.byref(jobs), ctypes.c_void_p(self._work.ctypes.data))
        return [bound_job.collect_results(self.record) for bound_job in bound_jobs]

    def _fill_lane(self, first: JobStruct, empty: JobStruct) -> None:
        """Let a lane without a job read what the first one reads, and write nothing."""
        ctypes.memmove(ctypes.byref(empty), ctypes.byref(first), ctypes.sizeof(JobStruct))
        empty.ticks = 0
