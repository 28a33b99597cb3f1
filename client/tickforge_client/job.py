"""A job on the server, for programs that block and for those of asyncio. Prints nothing.

The calls and their documentation are in job_calls.py.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tickforge_client.blocking import blocking, blocking_iterator
from tickforge_client.checkpoints import AsyncCheckpoint, Checkpoint
from tickforge_client.job_calls import JobCalls
from tickforge_client.job_fields import JobFields


class AsyncJob(JobCalls["AsyncJob", AsyncCheckpoint]):
    """A job as last fetched: `await job.wait()`, `async for event in job.follow()`."""

    _checkpoint_kind = AsyncCheckpoint

    @property
    def checkpoints(self) -> Coroutine[Any, Any, list[AsyncCheckpoint]]:
        """The job's current checkpoints, oldest first: `await job.checkpoints`."""
        return self.list_checkpoints()


class Job(JobFields["Job", Checkpoint]):
    """A job as last fetched: `fields` is the server's JSON, `refresh` fetches it again."""

    _checkpoint_kind = Checkpoint
    _calls = JobCalls["Job", Checkpoint]

    refresh = blocking(_calls.refresh)
    changes = blocking_iterator(_calls.changes)
    wait = blocking(_calls.wait)
    follow = blocking_iterator(_calls.follow)
    logs = blocking(_calls.logs)
    cancel = blocking(_calls.cancel)
    stop = blocking(_calls.stop)
    pause = blocking(_calls.pause)
    resume = blocking(_calls.resume)
    request_checkpoint = blocking(_calls.request_checkpoint)
    verify = blocking(_calls.verify)
    fork = blocking(_calls.fork)
    extend = blocking(_calls.extend)
    update = blocking(_calls.update)
    delete = blocking(_calls.delete)
    history = blocking(_calls.history)
    view = blocking(_calls.view)
    curve = blocking(_calls.curve)
    curve_lines = blocking(_calls.curve_lines)
    link = blocking(_calls.link)
    export = blocking(_calls.export)
    predict = blocking(_calls.predict)
    evaluate = blocking(_calls.evaluate)
    predict_dataset = blocking(_calls.predict_dataset)
    result_pieces = blocking_iterator(_calls.result_pieces)
    generate = blocking(_calls.generate)
    list_checkpoints = blocking(_calls.list_checkpoints)
    checkpoint = blocking(_calls.checkpoint)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The job's current checkpoints, oldest first."""
        return self.list_checkpoints()
