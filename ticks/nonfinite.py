"""What losses that are not finite do to a job: it fails at one, or after many in a row, or skips.

Knows no net.
"""

from typing import TypedDict

from jobs.spec.training import Stop
from ticks.engines.chunk import Chunk


class Failure(TypedDict):
    """Why a job cannot go on."""

    type: str
    detail: str
    tick: int


class NonfiniteRule:
    """How many ticks in a row were skipped, and whether there was a finite loss yet."""

    def __init__(self, stop: Stop, *, needs_finite_loss: bool = True) -> None:
        """Without `needs_finite_loss`, as in earlier specs, a job may end without one."""
        self.stop = stop
        self.skipped_in_a_row = 0
        self.has_finite_loss = not needs_finite_loss

    def find_failure(self, chunk: Chunk) -> Failure | None:
        """Count the losses of a chunk; return the failure of its last tick, which then has none.

        A chunk ends at a loss that is not finite. The tick of a failure is not counted, since the
        state before it is what stays.
        """
        if chunk.count > chunk.nonfinite:
            self.skipped_in_a_row, self.has_finite_loss = 0, True
        if not chunk.nonfinite:
            return None
        tick, most = chunk.first + chunk.count - 1, self.stop.max_skips
        if self.stop.on_nonfinite == "fail":
            loss = float(chunk.columns["loss"][-1])
            return Failure(type="nonfinite", detail=f"the loss of tick {tick} is {loss}", tick=tick)
        if most is not None and self.skipped_in_a_row + 1 >= most:
            ticks = f"ticks {tick - most + 1} to {tick}" if most > 1 else f"tick {tick}"
            detail = f"no loss of {ticks} is finite: stop.max_skips is {most}"
            return Failure(type="skips", detail=detail, tick=tick)
        self.skipped_in_a_row += 1
        return None

    def find_end_failure(self, tick: int) -> Failure | None:
        """Return why a job cannot succeed that ends after `tick`, or None."""
        if self.has_finite_loss:
            return None
        detail = f"no loss of the {tick} ticks is finite: every update was skipped"
        return Failure(type="nonfinite", detail=detail, tick=tick)
