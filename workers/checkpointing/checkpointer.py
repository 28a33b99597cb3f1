"""The states of one attempt that are kept: now, or aside while it trains on; what fails is told.

Between the attempt, which knows where the trainer stands, and the saver, which knows the rules.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from workers.checkpointing.writer import CheckpointNotSaved, CheckpointWriter
from workers.heartbeat import Heartbeat
from workers.ledger_writer import LedgerWriter, Level
from workers.trainer_client import JsonDict, SavedState, StateNotWritten, TrainerClient

#: tries of the final checkpoint, and seconds between them, before the job pauses without it
FINAL_TRIES, FINAL_RETRY_SECONDS = 4, 1.0


class EventSink(Protocol):
    """Says what followers of the job should see; `unwanted`: why a wish is not fulfilled."""

    def __call__(self, level: Level, text: str, unsaved_reason: str | None = None) -> None: ...


class Checkpointer:
    """Has states of one trainer kept. `tick` is always where that stands."""

    def __init__(
        self,
        checkpoint_writer: CheckpointWriter,
        trainer: TrainerClient,
        heartbeat: Heartbeat,
        ledger_writer: LedgerWriter,
        publish: EventSink,
        write_log: Callable[[str], None],
    ) -> None:
        self._checkpoint_writer, self._trainer, self._heartbeat = (
            checkpoint_writer,
            trainer,
            heartbeat,
        )
        self._ledger_writer, self._publish, self._write_log = ledger_writer, publish, write_log

    def save_now(self, tick: int, best: JsonDict | None, *, is_final: bool = False) -> bool:
        """Make a checkpoint of now; False when the disk would not have it."""
        self._heartbeat.phase = "saving"
        save = partial(self._checkpoint_writer.save, self._trainer, tick, is_final=is_final)
        return self._try_save(tick, partial(save, is_best=_is_best_at(best, tick)))

    def save_final(self, tick: int, best: JsonDict | None) -> bool:
        """The same of what the job is about: tried some times, for without it is no success."""
        for _ in range(FINAL_TRIES - 1):
            if self.save_now(tick, best, is_final=True):
                return True
            time.sleep(FINAL_RETRY_SECONDS)
            self._heartbeat.touch()
        return self.save_now(tick, best, is_final=True)

    def begin_save(self, tick: int, best: JsonDict | None) -> None:
        """Begin a checkpoint of now, behind the one that is under way."""
        self.finish(tick)
        self._heartbeat.phase = "saving"
        is_best = _is_best_at(best, tick)
        self._try_save(
            tick, partial(self._checkpoint_writer.begin_save, self._trainer, tick, is_best=is_best)
        )

    def on_trainer_result(
        self, tick: int, save_result: SavedState | StateNotWritten | None
    ) -> None:
        """Take what the trainer says of the files of the one that is under way."""
        self._try_save(tick, partial(self._checkpoint_writer.on_trainer_result, save_result))

    def finish(self, tick: int) -> None:
        """Wait for the checkpoint that is under way, if there is one."""
        self._try_save(tick, partial(self._checkpoint_writer.finish, self._trainer))

    def _try_save(self, tick: int, save: Callable[[], SavedState | None]) -> bool:
        """Whether the disk had what it was to have; says so, and what became a checkpoint."""
        try:
            saved_state = save()
        except CheckpointNotSaved as error:
            unsaved_reason = (
                str(error) if self._ledger_writer.is_checkpoint_requested_at(tick) else None
            )
            self._publish(
                "error", f"checkpoint_error at tick {tick}: {error}", unsaved_reason=unsaved_reason
            )
            return False
        if saved_state is not None:
            self._write_log(f"saved checkpoint {saved_state.tick}, state {saved_state.state}")
        return True


def _is_best_at(best: JsonDict | None, tick: int) -> bool:
    return best is not None and bool(best["tick"] == tick)
