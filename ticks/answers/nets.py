"""Nets of checkpoints, built as their model.py builds them, and a cache of those used last."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import Tensor, nn

from models.checkpoint_source import make_module
from ticks.state_files import CONFIG, WEIGHTS

READ_SIZE = 1 << 24  # bytes hashed between two signs of life


class DamagedNet(Exception):
    """A checkpoint's file is not the one that was saved."""


class CheckpointFiles(NamedTuple):
    """The folder of a checkpoint, and the sha256 of what a net is built from."""

    folder: Path
    config_sha256: str
    weights_sha256: str


@dataclass(frozen=True)
class LoadedNet:
    """The module that is a checkpoint's model.py, and its net in evaluation mode."""

    module: ModuleType
    network: nn.Module
    bytes: int

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        config: dict[str, Any] = self.module.CONFIG
        return config


class NetCache:
    """The nets used last, of at most so many bytes of weights and buffers together.

    A net that is larger than the bound is loaded for each use, and replaces all others meanwhile.
    """

    def __init__(self, show_progress: Callable[[], None]) -> None:
        self._show_progress = show_progress
        self._nets: dict[tuple[str, str, int], LoadedNet] = {}  # the one used last is the last

    def get(self, files: CheckpointFiles, threads: int, max_bytes: int) -> LoadedNet:
        """Return the net of a checkpoint that was trained on `threads` threads.

        Raises DamagedNet, or OSError where a file is gone.
        """
        key = (files.config_sha256, files.weights_sha256, threads)
        net = self._nets.pop(key, None)
        if net is None:
            self._evict(max_bytes - (files.folder / WEIGHTS).stat().st_size)
            net = load_net(files, threads, self._show_progress)
        self._nets[key] = net
        self._evict(max_bytes)
        return net

    @property
    def bytes(self) -> int:
        """Bytes of the weights and buffers that are in memory for later."""
        return sum(net.bytes for net in self._nets.values())

    def _evict(self, max_bytes: int) -> None:
        """Forget the nets that were used least recently, until the others have `max_bytes`."""
        while self._nets and self.bytes > max_bytes:
            del self._nets[next(iter(self._nets))]


def load_net(files: CheckpointFiles, threads: int, show_progress: Callable[[], None]) -> LoadedNet:
    """Build a checkpoint's net as its model.py does. Raises DamagedNet or OSError.

    `threads` are those of the training; config.json of an earlier build does not say them.
    """
    config_text = (files.folder / CONFIG).read_bytes()
    _check(CONFIG, hashlib.sha256(config_text).hexdigest(), files.config_sha256)
    weights_sha256 = hash_file(files.folder / WEIGHTS, show_progress)
    _check(WEIGHTS, weights_sha256, files.weights_sha256)
    module = make_module({**json.loads(config_text), "threads": threads})
    network: nn.Module = module.load(files.folder)
    show_progress()
    tensors: list[Tensor] = list(network.state_dict().values())
    return LoadedNet(module, network, sum(tensor.nbytes for tensor in tensors))


def hash_file(path: Path, show_progress: Callable[[], None]) -> str:
    """Return the sha256 of a file in hex digits."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_SIZE):
            sha.update(piece)
            show_progress()
    return sha.hexdigest()


def _check(name: str, sha256: str, saved_sha256: str) -> None:
    if sha256 != saved_sha256:
        raise DamagedNet(f"{name} has other bytes than were saved")
