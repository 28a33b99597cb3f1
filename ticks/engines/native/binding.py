"""Bind one job to the C code: pointers into torch's memory, numbers, and the results.

Every run binds again, so a state that was restored in between is used wherever its tensors are.
"""

import ctypes
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.spec.training import Sgd
from ticks.data.batches import TensorBatches, TensorRows
from ticks.engines.chunk import Chunk
from ticks.engines.native.rates import learning_rates
from ticks.engines.native.signature import KernelSignature
from ticks.trainer import Trainer

CACHE_LINE_BYTES = 64  # alignment of the work area
POINTER, INT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


class JobStruct(ctypes.Structure):
    """struct job of c/job.h, field by field; the units stand there."""

    _fields_ = (
        ("inputs", POINTER), ("targets", POINTER), ("order", POINTER), ("rates", POINTER),
        ("weights", POINTER), ("first", POINTER), ("second", POINTER),
        ("losses", POINTER), ("norms", POINTER),
        ("rows", INT), ("batch", INT), ("parts", INT),
        ("tick", INT), ("ticks", INT), ("rate_step", INT),
        ("seed", ctypes.c_uint64),
        ("weight_decay", DOUBLE), ("momentum", DOUBLE), ("beta1", DOUBLE), ("beta2", DOUBLE),
        ("eps", DOUBLE), ("clip", DOUBLE), ("dropout", DOUBLE),
        ("step", ctypes.c_float), ("nonfinite", ctypes.c_int32), ("done", INT),
    )  # fmt: skip


def allocate_work_area(size: int) -> NDArray[np.uint8]:
    """Return an aligned work area of `size` bytes, all 0: elements beyond an array's end stay 0."""
    memory = np.zeros(size + CACHE_LINE_BYTES, dtype=np.uint8)
    padding = -memory.ctypes.data % CACHE_LINE_BYTES
    return memory[padding : padding + size]


class BoundJob:
    """A trainer's state and its next `ticks` ticks, bound to a JobStruct.

    Optimizer tensors that do not exist before the first update are created here; they become
    torch's in `collect_results`, once an update was applied.
    """

    def __init__(
        self, trainer: Trainer, signature: KernelSignature, job: JobStruct, ticks: int
    ) -> None:
        self.trainer, self.signature, self.job = trainer, signature, job
        self.columns = np.empty((2, ticks), dtype=np.float32)
        self._moments = [self._moment_tensors(name) for name in signature.moments]
        self._references: list[Any] = []  # keeps alive what the job points at
        self._bind_state()
        self._bind_rows(ticks)
        set_scalars(job, trainer)

    def collect_results(self, record: list[str]) -> Chunk:
        """Return the columns and advance `ticks_done`; the state was changed in place."""
        trainer, job = self.trainer, self.job
        ticks_run, is_nonfinite = int(job.done), bool(job.nonfinite)
        first = trainer.ticks_done + 1
        trainer.ticks_done += ticks_run - is_nonfinite
        if ticks_run - is_nonfinite > 0:
            self._store_moments()
        columns = {"loss": self.columns[0, :ticks_run].copy()}
        if "grad_norm" in record:
            columns["grad_norm"] = self.columns[1, :ticks_run].copy()
        return Chunk(first, columns, is_nonfinite)

    def _bind_state(self) -> None:
        job = self.job
        job.weights = self._pointers([p.detach() for p in self.trainer.parameters])
        job.first = self._pointers(self._moments[0]) if self._moments else None
        job.second = self._pointers(self._moments[1]) if len(self._moments) > 1 else None
        state = self.trainer.optimizer.state.get(self.trainer.parameters[0], {})
        job.step = float(state["step"]) if "step" in state else 0.0

    def _bind_rows(self, ticks: int) -> None:
        job, trainer = self.job, self.trainer
        batches = trainer.batches
        assert isinstance(batches, TensorBatches), "the rows of a table lie in memory"
        job.inputs, job.targets = batches.rows.inputs.data_ptr(), batches.rows.targets.data_ptr()
        job.rows, job.batch = batches.epoch_rows, batches.size
        job.tick, job.ticks = trainer.ticks_done, ticks
        job.order = None
        if batches.shuffle:
            order = batches.row_numbers(trainer.ticks_done + 1, trainer.ticks_done + ticks)
            job.order = self._address(order.numpy())
        by_tick = learning_rates(trainer.spec, trainer.ticks_done + 1, ticks)
        job.rates, job.rate_step = self._address(by_tick), int(len(by_tick) > 1)
        job.losses = self.columns[0].ctypes.data
        job.norms = self.columns[1].ctypes.data if self.signature.needs_grad_norm else None

    def _moment_tensors(self, name: str) -> list[Tensor]:
        state = self.trainer.optimizer.state
        stored = [state.get(p, {}).get(name) for p in self.trainer.parameters]
        pairs = zip(stored, self.trainer.parameters, strict=True)
        return [torch.zeros_like(p) if tensor is None else tensor for tensor, p in pairs]

    def _store_moments(self) -> None:
        """Store the moments in torch's optimizer, as its own step would."""
        for index, parameter in enumerate(self.trainer.parameters):
            state = self.trainer.optimizer.state
            pairs = zip(self.signature.moments, self._moments, strict=True)
            moments = {name: tensors[index] for name, tensors in pairs}
            if "exp_avg" in moments:
                state[parameter].setdefault("step", torch.tensor(0.0)).fill_(self.job.step)
            if moments:
                state[parameter].update(moments)

    def _pointers(self, tensors: list[Tensor]) -> int:
        assert all(t.is_contiguous() and t.dtype == torch.float32 for t in tensors)
        return self._address(np.array([t.data_ptr() for t in tensors], dtype=np.uint64))

    def _address(self, array: NDArray[Any]) -> int:
        self._references.append(array)
        address: int = array.ctypes.data
        return address


def set_scalars(job: JobStruct, trainer: Trainer) -> None:
    """Set the job's numbers that are arguments of the code, from the spec.

    Dropout's p is read from the net, where `trial.dropout_disabled` sets it to 0.
    """
    spec, optimizer = trainer.spec, trainer.spec.optimizer
    dropouts = (module.p for module in trainer.net.modules() if isinstance(module, nn.Dropout))
    job.parts, job.seed, job.dropout = spec.micro_batches, spec.seed, next(dropouts, 0.0)
    job.clip, job.weight_decay = spec.clip_norm or 0.0, optimizer.weight_decay
    if isinstance(optimizer, Sgd):
        job.momentum = optimizer.momentum
    else:
        job.beta1, job.beta2 = optimizer.betas
        job.eps = optimizer.eps


def bind_evaluation(job: JobStruct, trainer: Trainer, rows: TensorRows) -> Any:
    """Bind weights and rows for an evaluation; return an object that must outlive the job."""
    pointers = np.array([p.data_ptr() for p in trainer.parameters], dtype=np.uint64)
    job.inputs, job.targets = rows.inputs.data_ptr(), rows.targets.data_ptr()
    job.rows, job.batch, job.weights = len(rows.inputs), 1, pointers.ctypes.data
    return pointers
