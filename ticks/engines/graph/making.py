"""Makes the program of a tick: lets the trainer make that tick, watched, and undoes it."""

from ticks.batches import Rows
from ticks.engines.graph.loop import Loaded
from ticks.engines.graph.program import Untraceable, Writer
from ticks.engines.graph.recording import Dice, Recording, Watch
from ticks.state import Snapshot
from ticks.trainer import Measured, Trainer

#: stand in the recorded tick for the numbers that change: values that nothing else in it has
MARKS = tuple(1 + (2 * at + 1) / 2**40 for at in range(8))


def make(trainer: Trainer, tick: int, first: int | None) -> Loaded:
    """Make the program of a tick whose batch begins at row `first`; None: whose rows are copied.

    The optimizer's tensors must be there. The state is afterwards what it was.
    """
    batch = trainer.batches.of(tick)
    before = Snapshot(trainer)
    try:
        recording, measured = record(trainer, batch)
    finally:
        before.put_back()
    marks = {mark: slot for slot, mark in enumerate(MARKS)}
    writer = Writer(recording, marks)
    loss = recording.place(measured.loss)
    norm = None if measured.norm is None else recording.place(measured.norm)
    head = [f"loss t{writer.register(loss)}"]
    if norm is not None:
        head.append(f"norm t{writer.register(norm)}")
    head += feeding(writer, recording, batch, first)
    kept = [place for place in (loss, norm) if place is not None]
    return Loaded(writer.text(head, kept), writer.tensors())


def record(trainer: Trainer, batch: Rows) -> tuple[Recording, Measured]:
    """Have a tick made and watch it: what it measures, its update, and the way back."""
    recording, dice = Recording(), trainer.dice
    trainer.dice = Dice(recording, dice.manual_seed)
    width = len(trainer.rule.numbers(1.0, 1))
    try:
        with Watch(recording):
            measured = trainer.measure(batch)
            recording.cut()
            trainer.rule.apply(trainer.optimizer, measured.gradients, MARKS[:width])
            recording.cut()
            trainer.withdraw()
    finally:
        trainer.dice = dice
    return recording, measured


def feeding(writer: Writer, recording: Recording, batch: Rows, first: int | None) -> list[str]:
    """Say how a tick gets its batch: consecutive rows where they lie, others by a copy."""
    places = [recording.place(tensor) for tensor in batch]
    if places[0].memory == places[1].memory:
        raise Untraceable("inputs and targets share memory")
    lines = []
    for which, (place, tensor) in enumerate(zip(places, batch, strict=True)):
        whole = writer.register(place)
        if first is None:
            lines.append(f"gather t{whole} i{tensor[0].nbytes} i{which}")
            continue
        row = tensor.stride(0)
        lines += [
            f"slide t{register} i{row} i{each.offset - first * row}"
            for each, register in writer.registers.items()
            if each.memory == place.memory
        ]
    return lines
