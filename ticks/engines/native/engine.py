"""The native engine: one job's ticks as a compiled C function.

Its bits are a function of the spec alone (see codegen.py), so name and VERSION identify them.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch

from ticks.data.batches import RowSource, TensorRows
from ticks.engines.chunk import Chunk
from ticks.engines.native import cache
from ticks.engines.native.binding import BoundJob, JobStruct, allocate_work_area, bind_evaluation
from ticks.engines.native.codegen import VERSION
from ticks.engines.native.compiler import FLAGS
from ticks.engines.native.signature import signature_of
from ticks.metrics.evaluation import HeldOutMetrics
from ticks.trainer import Trainer


class NativeEngine:
    """Runs ticks on torch's tensors in place, without Python's global lock.

    The spec must be within jobs/spec/native_limits.py. Raises EngineUnavailable where its code
    cannot be compiled.
    """

    name = "native"
    version = VERSION

    def __init__(
        self,
        trainer: Trainer,
        record: Sequence[str],
        folder: Path | None = None,
        flags: tuple[str, ...] = FLAGS,
    ) -> None:
        self.trainer, self.record = trainer, list(record)
        self.signature = signature_of(trainer.spec)
        self._code = cache.load_kernel(self.signature, 1, folder, flags)
        self._code.work_bytes.restype = ctypes.c_int64
        size = self._code.work_bytes(ctypes.c_int64(trainer.spec.micro_batches))
        self._work = allocate_work_area(size)

    def run(self, ticks: int) -> Chunk:
        """Run up to `ticks` ticks; ends early, with `nonfinite`, at a loss that is not finite."""
        job = JobStruct()
        bound_job = BoundJob(self.trainer, self.signature, job, ticks)
        self._code.run(ctypes.byref(job), ctypes.c_void_p(self._work.ctypes.data))
        return bound_job.collect_results(self.record)

    def evaluate(self, rows: RowSource, metrics: HeldOutMetrics) -> float:
        """Do what ticks/validation.py's `evaluate` does, in this engine's own bits."""
        assert isinstance(rows, TensorRows), "the rows of a table lie in memory"
        job, loss_sum = JobStruct(), 0.0
        work, loss = ctypes.c_void_p(self._work.ctypes.data), ctypes.c_float()
        for block in rows.blocks():
            outputs = torch.empty(len(block.inputs), self.trainer.spec.profile.outputs)
            pointers = bind_evaluation(job, self.trainer, block)
            address = ctypes.c_void_p(outputs.data_ptr())
            self._code.evaluate(ctypes.byref(job), work, address, ctypes.byref(loss))
            del pointers  # until here the job points at them
            loss_sum += loss.value * len(outputs)
            metrics.add(outputs, block.targets)
        return loss_sum / len(rows.inputs)
