"""Move what a recorded tick does to where it costs least, with nothing that it computes changed.

A tick has three sections: loss and gradients, the update, and what puts the net's buffers back
where the loss is not finite; there the update is left out. Knows no net and no optimizer.
"""

from collections.abc import Callable, Sequence, Set
from typing import Any

from ticks.engines.graph.fusion import ChainCall
from ticks.engines.graph.recording import (
    Boundary,
    OperatorCall,
    TensorLayout,
    iter_layouts,
    written_layouts,
)

Event = Any  # OperatorCall, SeedCall, Boundary or ChainCall


def advance_boundary(events: Sequence[Event], outputs: Set[int]) -> list[Event]:
    """Return the events with the first section no longer than what `outputs` need.

    These are the memories of the loss and the norm. The calls after it become part of the update,
    with whose chains they can be fused. They write into memory of the tick itself alone, and into
    nothing that is read after the update: where the loss is not finite, nobody misses them.
    """
    boundaries = find_boundaries(events)
    if len(boundaries) < 2:
        return list(events)
    first, second = boundaries[:2]
    own: set[int] = set()  # memory that is allocated in the first section
    others: set[int] = set()
    for call in events[:first]:
        if isinstance(call, OperatorCall):
            others |= {layout.memory for layout in iter_layouts(call.arguments)} - own
            own |= {layout.memory for layout in iter_layouts(call.results)} - others
    later = {memory for event in events[second:] for memory in touched_memory(event)}
    start = first
    while start and is_limited_to(own - outputs - later, events[start - 1]):
        start -= 1
    return [*events[:start], events[first], *events[start:first], *events[first + 1 :]]


def advance_updates(
    events: Sequence[Event], is_large: Callable[[TensorLayout], bool]
) -> list[Event]:
    """Return the events with chains over large tensors as early in the update as can be.

    A parameter is updated as soon as nothing more is to be computed with it. Its gradient is still
    in the cache, and its memory is free for the next one.
    """
    boundaries = find_boundaries(events)
    if len(boundaries) < 2:
        return list(events)
    last_use: dict[int, int] = {}
    placed: list[list[Event]] = [[] for _ in events]  # what comes in the place of each
    for index, event in enumerate(events):
        if isinstance(event, ChainCall) and boundaries[0] < index < boundaries[1]:
            staying = [lane for lane in event.lanes if not any(map(is_large, lane))]
            for lane in event.lanes:
                if lane not in staying:
                    uses = (last_use.get(layout.memory, 0) for layout in lane)
                    placed[max(boundaries[0], *uses)].append(ChainCall(event.template, [lane]))
            event = ChainCall(event.template, staying)
        if not isinstance(event, ChainCall) or event.lanes:
            placed[index].append(event)
        last_use.update(dict.fromkeys(touched_memory(events[index]), index))
    return [event for group in placed for event in group]


def find_boundaries(events: Sequence[Event]) -> list[int]:
    """Return the indices of the boundaries between sections."""
    return [index for index, event in enumerate(events) if isinstance(event, Boundary)]


def touched_memory(event: Event) -> set[int]:
    """Return the memory that an event reads or writes."""
    if isinstance(event, ChainCall):
        return {layout.memory for lane in event.lanes for layout in lane}
    if isinstance(event, OperatorCall):
        return {layout.memory for layout in iter_layouts([event.arguments, event.results])}
    return set()


def is_limited_to(memory: Set[int], event: Event) -> bool:
    """Return whether an event is a call that writes into this memory alone."""
    if not isinstance(event, OperatorCall):
        return False
    written = [*written_layouts(event), *iter_layouts(event.results)]
    return {layout.memory for layout in written} <= memory
