"""Many jobs of one form at once, one a SIMD lane, each bit-equal to its run alone. Decides nothing.

Every lane has its own data, order, rates, seed and number of ticks. One that has ended, or met a
loss that is not finite, is masked: it costs time and changes nobody's bits.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

from ticks.engines.chunk import Chunk
from ticks.engines.native import objects
from ticks.engines.native.binding import Bound, Job, work_area
from ticks.engines.native.compiler import FLAGS, features
from ticks.engines.native.emit import VERSION
from ticks.engines.native.form import Form, form_of
from ticks.engines.native.tensors import places
from ticks.trainer import Trainer

NEAREST = 32 << 10  # bytes of the data cache next to a core, of most processors
Kind = tuple[Form, int]  # jobs of one kind may share lanes


def kind_of(trainer: Trainer) -> Kind:
    """Return what trainers must have in common to run in lanes: the form, and the parts."""
    return form_of(trainer.spec), trainer.spec.micro_batches


def fitting(form: Form) -> int:
    """Return how many lanes are the fastest here: 16 where a vector has so many and the weights of
    16 jobs stay in the nearest cache, else 8."""
    numbers = sum(place.lines * place.width for place in places(form))
    return 16 if "avx512f" in features() and 16 * 4 * numbers <= NEAREST else 8


class Lanes:
    """Runs up to `lanes` trainers of one kind together. Raises Unavailable without a compiler."""

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
        kinds = {kind_of(trainer) for trainer in self.trainers}
        assert len(kinds) == 1, "all of one kind"
        ((self.form, parts),) = kinds
        self.lanes = lanes or fitting(self.form)
        assert 0 < len(self.trainers) <= self.lanes, "at least one job, at most one a lane"
        self._code = objects.load(self.form, self.lanes, folder, flags)
        self._code.work_bytes.restype = ctypes.c_int64
        self._work = work_area(self._code.work_bytes(ctypes.c_int64(parts)))

    def run(self, ticks: Sequence[int]) -> list[Chunk]:
        """Run so many ticks of each; a lane ends early at a loss that is not finite."""
        jobs = (Job * self.lanes)()
        pairs = zip(self.trainers, jobs, ticks, strict=False)
        bound = [Bound(trainer, self.form, job, k) for trainer, job, k in pairs]
        for lane in range(len(bound), self.lanes):
            self._repeat(jobs[0], jobs[lane])
        self._code.run(ctypes.byref(jobs), ctypes.c_void_p(self._work.ctypes.data))
        return [each.keep(self.record) for each in bound]

    def _repeat(self, first: Job, empty: Job) -> None:
        """Let a lane without a job read what the first one reads, and write nothing."""
        ctypes.memmove(ctypes.byref(empty), ctypes.byref(first), ctypes.sizeof(Job))
        empty.ticks = 0
