"""report.json of a checkpoint: what the newest validation, and the test, say beyond their metrics.

Knows no file. Equal states have equal reports: what was measured before a resume comes from the
file of the state.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ticks.metrics.evaluation import RowEvaluation

VALIDATION, TEST = "validation", "test"


class Reports:
    """The sections of a report by name, each rendered only where a state is saved."""

    def __init__(self) -> None:
        self._sections: dict[str, dict[str, Any]] = {}
        self._pending: dict[str, tuple[int, RowEvaluation]] = {}

    def add(self, name: str, tick: int, evaluation: RowEvaluation) -> None:
        """Replace a section by an evaluation of the state of `tick`."""
        self._pending[name] = tick, evaluation

    def render(self) -> dict[str, Any]:
        """Return the sections as JSON; empty before any evaluation."""
        for name, (tick, evaluation) in self._pending.items():
            self._sections[name] = {"tick": tick, **describe_evaluation(evaluation)}
        self._pending.clear()
        order = (VALIDATION, TEST)
        return {name: self._sections[name] for name in order if name in self._sections}

    def restore(
        self, sections: Mapping[str, Any], validated_at: int | None, tested_at: int | None
    ) -> None:
        """Take the sections of a saved state, but for one that the state no longer counts.

        A fork begins before the validation and the test that only the end of its parent asked for.
        """
        self._pending.clear()
        self._sections = dict(sections)
        if self._sections.get(VALIDATION, {}).get("tick") != validated_at:
            self._sections.pop(VALIDATION, None)
        if tested_at is None:
            self._sections.pop(TEST, None)


def describe_evaluation(evaluation: RowEvaluation) -> dict[str, Any]:
    """Return rows, metrics and report of an evaluation as JSON: what is not finite is null."""
    head = {"rows": evaluation.sums.count, "metrics": evaluation.metrics}
    section: dict[str, Any] = _to_json({**head, **evaluation.sums.report()})
    return section


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _to_json(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
