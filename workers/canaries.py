"""This machine's canaries by thread count: measured by a trainer of their own, once a worker.

Knows the template and the desk, where the worker's two processes share what was measured.
"""

import hashlib
from collections.abc import Callable
from importlib.metadata import version

from workers.desk import Desk
from workers.template import hire
from workers.trainer import Trainer

NOTE = "canaries"


class Canaries:
    """What torch answers here, on one device. Two workers of equal canaries compute equal bits."""

    def __init__(self, desk: Desk, device: str) -> None:
        self._desk, self._device = desk, device
        self._known: dict[str, str] = {}

    def known(self) -> dict[str, str]:
        """Return what has been measured here so far, by thread count as text."""
        return {**(self._desk.read(NOTE) or {}), **self._known}

    def of(self, threads: int, may_wait: Callable[[], bool] = lambda: True) -> str:
        """Return the canary for so many threads, measured now if need be (some 50 ms).

        `may_wait` is asked while there is no template. Raises NoTemplate, LeashCut or TrainerFault
        when it cannot be had.
        """
        text = str(threads)
        if text not in self._known:
            self._known |= self.known()
        if text not in self._known:
            self._known[text] = self._measure(threads, may_wait)
            self._desk.write(NOTE, self.known())
        return self._known[text]

    def _measure(self, threads: int, may_wait: Callable[[], bool]) -> str:
        process = hire(self._desk.socket, may_wait)
        try:
            answer = Trainer(process.leash).canary(threads, self._device)
        finally:
            process.bury()
        return with_version(answer["canary"])


def with_version(measured: str) -> str:
    """Return what workers announce and claims compare, of what the kernels answered."""
    # Claims compare canaries alone, so the version of torch, which histories also belong to, is
    # made part of it: else a worker would claim a job again and again that it is unfit for.
    return hashlib.sha256(f"{torch_version()} {measured}".encode()).hexdigest()[:32]


def torch_version() -> str:
    """Return the version of torch that the template has, without importing it."""
    return version("torch")
