"""Trace a tick: let the trainer run it while its operators are recorded, then undo it."""

from ticks.data.batches import TensorRows
from ticks.engines.graph.encoding import Untraceable
from ticks.engines.graph.loop import LoadedProgram
from ticks.engines.graph.program import ProgramWriter
from ticks.engines.graph.recording import OperatorTracer, SeedRecorder, Trace
from ticks.state import StateBackup
from ticks.trainer import BackwardResult, Trainer

#: values for the changing numbers in the recorded tick, which nothing else in it equals
PLACEHOLDERS = tuple(1 + (2 * slot + 1) / 2**40 for slot in range(8))


def trace_tick(trainer: Trainer, tick: int, first: int | None) -> LoadedProgram:
    """Return the program of a tick whose batch begins at row `first`; None: whose rows are copied.

    The optimizer's state must exist already. The trainer's state is restored. Raises Untraceable or
    BrokenProgram.
    """
    batch = trainer.batches.batch(tick)
    backup = StateBackup(trainer)
    try:
        trace, result = record_tick(trainer, batch)
    finally:
        backup.restore()
    slots = {placeholder: slot for slot, placeholder in enumerate(PLACEHOLDERS)}
    loss = trace.layout_of(result.loss)
    grad_norm = None if result.grad_norm is None else trace.layout_of(result.grad_norm)
    outputs = [layout for layout in (loss, grad_norm) if layout is not None]
    writer = ProgramWriter(trace, slots, outputs)
    head = [f"loss t{writer.register(loss)}"]
    if grad_norm is not None:
        head.append(f"norm t{writer.register(grad_norm)}")
    head += input_bindings(writer, trace, batch, first)
    return LoadedProgram(writer.render(head), writer.tensors())


def record_tick(trainer: Trainer, batch: TensorRows) -> tuple[Trace, BackwardResult]:
    """Record a tick in three sections: forward_backward, optimizer step, restore_buffers."""
    trace, generator = Trace(), trainer.generator
    trainer.generator = SeedRecorder(trace, generator.manual_seed)
    scalars = PLACEHOLDERS[: len(trainer.update_rule.step_scalars(1.0, 1))]
    try:
        with OperatorTracer(trace):
            result = trainer.forward_backward(batch)
            trace.add_boundary()
            trainer.update_rule.apply(trainer.optimizer, result.gradients, scalars)
            trace.add_boundary()
            trainer.restore_buffers()
    finally:
        trainer.generator = generator
    return trace, result


def input_bindings(
    writer: ProgramWriter, trace: Trace, batch: TensorRows, first: int | None
) -> list[str]:
    """Return the program's lines that provide its batch: rows read in place, or copied."""
    layouts = [trace.layout_of(tensor) for tensor in batch]
    if layouts[0].memory == layouts[1].memory:
        raise Untraceable("inputs and targets share memory")
    lines = []
    for input_index, (layout, tensor) in enumerate(zip(layouts, batch, strict=True)):
        batch_register = writer.register(layout)
        if first is None:
            lines.append(f"gather t{batch_register} i{tensor[0].nbytes} i{input_index}")
            continue
        row_stride = tensor.stride(0)
        lines += [
            f"slide t{register} i{row_stride} i{view.offset - first * row_stride}"
            for view, register in writer.registers.items()
            if view.memory == layout.memory
        ]
    return lines
