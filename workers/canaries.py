"""This machine's canaries by thread count, and its engines: told by a trainer of their own.

Measured once a worker and thread count. Knows the template and the desk, where the worker's two
processes share what was measured.
"""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from workers.desk import Desk
from workers.template import hire
from workers.trainer import Trainer

NOTE, ENGINES = "canaries", "engines"


class Canaries:
    """What torch answers here, on one device. Two workers of equal canaries compute equal bits."""

    def __init__(self, desk: Desk, device: str) -> None:
        self._desk, self._device = desk, device
        self._known: dict[str, str] = {}

    def known(self) -> dict[str, str]:
        """Return what has been measured here so far, by thread count as text."""
        return {**(self._desk.read(NOTE) or {}), **self._known}

    def engines(self) -> dict[str, str]:
        """Return how identities begin of each engine there is here; known with a first canary."""
        return dict((self._desk.read(ENGINES) or {}).get("begin", {}))

    def ready(self) -> list[str]:
        """Return the engines that needed nothing compiled when a canary was last measured here."""
        return list((self._desk.read(ENGINES) or {}).get("ready", []))

    def of(self, threads: int, may_wait: Callable[[], bool] = lambda: True) -> str:
        """Return the canary for so many threads, measured now if need be (some 50 ms).

        `may_wait` is asked while there is no template. Raises NoTemplate, LeashCut or TrainerFault
        when it cannot be had.
        """
        text = str(threads)
        if text not in self._known:
            self._known |= self.known()
        if text not in self._known:
            answer = self._measure(threads, may_wait)
            self._known[text] = with_version(answer["canary"])
            self._desk.write(ENGINES, {"begin": _begin(answer), "ready": answer["ready"]})
            self._desk.write(NOTE, self.known())
        return self._known[text]

    def _measure(self, threads: int, may_wait: Callable[[], bool]) -> dict[str, Any]:
        process = hire(self._desk.socket, may_wait)
        try:
            return Trainer(process.leash).canary(threads, self._device)
        finally:
            process.bury()


def _begin(answer: dict[str, Any]) -> dict[str, str]:
    return {name: f"{engine} {answer['torch']}" for name, engine in answer["engines"].items()}


def with_version(measured: str) -> str:
    """Return what workers announce and claims compare, of what the kernels answered."""
    # Claims compare canaries alone, so the version of torch, which histories also belong to, is
    # made part of it: else a worker would claim a job again and again that it is unfit for.
    return hashlib.sha256(f"{torch_version()} {measured}".encode()).hexdigest()[:32]


def torch_version() -> str:
    """Return the version of torch that the template has, without importing it."""
    return version("torch")
