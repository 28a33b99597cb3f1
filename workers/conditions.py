"""Finds at which new ticks the conditions of a job's spec are met, where the values are.

Ticks alone decide, so the same tick is found however the training was cut into chunks and attempts.
Knows no store: jobs/store/lua/append.lua tells a condition with the tick that meets it, and once.
"""

from dataclasses import dataclass

import numpy as np

from jobs.spec.condition_checks import find_planned_tick, is_planned
from jobs.spec.conditions import TICK, Condition, MetCondition, parse_condition
from jobs.spec.job_spec import JobSpec
from jobs.values import decode_value
from workers.trainer_client import ChunkResult


@dataclass(frozen=True)
class _OpenCondition:
    """A condition that no tick has met yet; `planned_tick`: where the spec says that one will."""

    condition: Condition
    is_planned: bool
    planned_tick: int | None


class ConditionWatch:
    """The conditions of one attempt that no tick of it has met yet."""

    def __init__(self, spec: JobSpec, first_tick: int) -> None:
        """`first_tick`: the first one of the job, which in a fork is not 1."""
        self._spec, self._open = spec, list[_OpenCondition]()
        for condition in map(parse_condition, spec.notify_when):
            planned = is_planned(condition)
            tick = find_planned_tick(condition, spec, first_tick) if planned else None
            self._open.append(_OpenCondition(condition, planned, tick))

    def find(self, chunk: ChunkResult) -> list[MetCondition]:
        """Return the conditions that ticks of a chunk are the first to meet, in order of ticks."""
        if not self._open:
            return []
        firsts = [(open_one, self._find_first(open_one, chunk)) for open_one in self._open]
        self._open = [open_one for open_one, met in firsts if met is None]
        return sorted((met for _, met in firsts if met is not None), key=lambda met: met.tick)

    def _find_first(self, open_one: _OpenCondition, chunk: ChunkResult) -> MetCondition | None:
        condition = open_one.condition
        if open_one.is_planned:
            return self._find_planned(open_one, chunk)
        if (values := chunk.columns.get(condition.column)) is not None:
            is_met = condition.compare(values)
            if not is_met.any():
                return None
            at = int(np.argmax(is_met))
            return MetCondition(condition.text, chunk.first + at, float(values[at]))
        for point in chunk.sparse:
            if point.column != condition.column:
                continue
            value = float(decode_value(point.column, point.bits))
            if condition.is_met(value):
                return MetCondition(condition.text, point.tick, value)
        return None

    def _find_planned(self, open_one: _OpenCondition, chunk: ChunkResult) -> MetCondition | None:
        condition, planned_tick = open_one.condition, open_one.planned_tick
        if planned_tick is None or planned_tick > chunk.last or chunk.count == 0:
            return None
        value = planned_tick if condition.column == TICK else self._spec.rate(planned_tick)
        return MetCondition(condition.text, planned_tick, value)
