"""The numbers of a saved state, changed for a job that goes on from it. Knows no tensor, no file.

`state.json` of a checkpoint has what a training had decided: whether it was over, its best, its
stop rules. A fork begins as the longer training would stand at that tick: not over, and without
what only the end had asked for.
"""

import json
from typing import Any

from jobs.spec.job_spec import JobSpec
from jobs.values import finite_or_none

NUMBERS_FILE = "state.json"
TEST_PREFIX = "test_"


class FirstState:
    """The state that a fork begins with: its numbers, `best` and `metrics`."""

    def __init__(self, numbers: bytes, parent: JobSpec, child: JobSpec) -> None:
        """Change the numbers (state.json) of a state of `parent` for `child`.

        Raises ValueError, KeyError or TypeError where they are not those of a state.
        """
        saved: dict[str, Any] = json.loads(numbers)
        tick, rules = int(saved["tick"]), dict(saved["rules"])
        open_state = saved.get("open_state")
        changes: dict[str, Any] = {"ended": None, "tested_at": None, "open_state": None}
        if open_state is not None:
            names = ("best", "metrics", "validated_at")
            changes |= {name: open_state[name] for name in names}
            rules["best"], rules["best_tick"] = open_state["rules"]
            if child.stop.converged is not None and child.stop.converged.metric != "loss":
                rules["window_before"] = tick
        renewed = child.stop.rules_that_begin_anew(parent.stop)
        if "patience" in renewed:
            rules |= {"best": None, "best_tick": tick}
        if child.best_metric != parent.best_metric:
            changes["best"] = None
        if "converged" in renewed:
            rules["converged_after"] = tick
        changes["rules"] = rules
        self._numbers = {**saved, **changes}
        metrics = self._numbers["metrics"].items()
        self._numbers["metrics"] = {
            name: value for name, value in metrics if not name.startswith(TEST_PREFIX)
        }

    @property
    def best(self) -> dict[str, Any] | None:
        """The best validation so far: metric, tick and value."""
        best: dict[str, Any] | None = self._numbers["best"]
        return best

    @property
    def metrics(self) -> dict[str, float | None]:
        """The newest metrics of validation; null for what is not finite."""
        metrics: dict[str, Any] = self._numbers["metrics"]
        return {name: finite_or_none(float(value)) for name, value in metrics.items()}

    def encode(self) -> bytes:
        """Return the contents of state.json."""
        return json.dumps(self._numbers, indent=1, allow_nan=False).encode()
