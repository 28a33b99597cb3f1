"""Celery's prefork pool, with a warm shutdown that waits for a task on its way to the child.

Knows Celery; knows nothing of what a task does.
"""

from collections.abc import Callable

from celery.concurrency import prefork
from celery.worker import state


class DrainingPool(prefork.TaskPool):  # type: ignore[misc]
    """A pool whose child is listened to until it ends.

    At a warm shutdown Celery forgets the tasks that were written to a child and not yet accepted:
    those between two turns of its event loop. If none is left, nobody reads the child's results,
    and the child, which runs the task all the same, waits 30 s for its result to be read
    (`billiard.pool.Worker._ensure_messages_consumed`) before it ends.
    """

    def on_start(self) -> None:
        """Start the child."""
        super().on_start()
        self._forget_unaccepted: Callable[[], None] = self._pool.flush
        self.flush = self._flush_unless_stopping  # Celery's own start sets it, too

    def _flush_unless_stopping(self) -> None:
        """Forget what no child has accepted; the broker's next connection gets it again."""
        if state.should_stop is None:
            self._forget_unaccepted()
