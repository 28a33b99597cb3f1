"""When the next checkpoint is due: by the spec's rules, by the clock, or after a failed save.

Knows the clock and the rules; knows no file, no store and no trainer.
"""

from dataclasses import dataclass
from time import monotonic

from jobs.backoff import Backoff
from jobs.spec.training import CheckpointRules
from workers.chunks import next_multiple
from workers.trainer_client import ChunkResult

#: seconds from a failed save to the next try, doubled each time up to the longest
INITIAL_RETRY_DELAY_SECONDS, MAX_RETRY_DELAY_SECONDS = 1.0, 30.0
#: failed saves in a row before a job is paused, however short the time it may go on without
MIN_FAILURES = 3


class FailureTracker:
    """Counts failed saves in a row: training may go on without checkpoints for `max_seconds`."""

    def __init__(self, max_seconds: float) -> None:
        self.count, self._max_seconds = 0, max_seconds
        self._backoff = Backoff(INITIAL_RETRY_DELAY_SECONDS, MAX_RETRY_DELAY_SECONDS)
        self._failing_since = self._retry_at = 0.0

    def record(self) -> None:
        """Count a failed save and set the time of the next try."""
        now = monotonic()
        if not self.count:
            self._failing_since = now
        self._retry_at = now + self._backoff.next_delay()
        self.count += 1

    def reset(self) -> None:
        """Forget the failures: a save has succeeded."""
        self.count = 0
        self._backoff.reset()

    @property
    def is_retry_due(self) -> bool:
        """Return whether the delay after the last failure is over."""
        return monotonic() >= self._retry_at

    @property
    def is_limit_reached(self) -> bool:
        """Return whether to pause the job rather than train on without a checkpoint."""
        return self.count >= MIN_FAILURES and monotonic() - self._failing_since >= self._max_seconds


@dataclass(frozen=True)
class CheckpointReasons:
    """Why a checkpoint is saved; `is_requested`: a client waited for one when it was begun."""

    is_best: bool
    is_final: bool
    is_periodic: bool
    is_requested: bool = False


class CheckpointSchedule:
    """The rules of one job's spec, the time of its last save, and the failures since."""

    def __init__(self, rules: CheckpointRules, max_seconds: float) -> None:
        self.rules, self.failures = rules, FailureTracker(max_seconds)
        self._last_save_at = monotonic()

    def is_due_by_tick(self, chunk: ChunkResult) -> bool:
        """Return whether the state after this chunk is due by its tick, or as the best so far."""
        return self._is_periodic(chunk.last) or (chunk.is_best and self.rules.keep_best)

    @property
    def is_due_by_clock(self) -> bool:
        """Return whether the last save was begun `every_seconds` ago or earlier."""
        interval = self.rules.every_seconds
        return interval is not None and monotonic() - self._last_save_at >= interval

    def next_due_tick(self, tick: int) -> int | None:
        """Return the first tick after this one that is due by the rule of `every_ticks`."""
        return next_multiple(tick, self.rules.every_ticks)

    def start_save(self, tick: int, *, is_best: bool, is_final: bool = False) -> CheckpointReasons:
        """Restart the clock and return the reasons for a save at this tick."""
        is_due_by_clock, self._last_save_at = self.is_due_by_clock, monotonic()
        is_kept_best = is_best and self.rules.keep_best
        is_periodic = not is_kept_best or is_due_by_clock or self._is_periodic(tick)
        return CheckpointReasons(is_kept_best, is_final, is_periodic)

    def _is_periodic(self, tick: int) -> bool:
        return self.rules.every_ticks is not None and tick % self.rules.every_ticks == 0
