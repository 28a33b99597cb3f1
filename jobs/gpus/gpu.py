"""What is known of one GPU, or of one MIG device of a GPU."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One device that a process can compute on.

    `index` is its number in PCI bus order, that of nvidia-smi; the MIG devices of a GPU share its
    number. `parent` is the uuid of a MIG device's GPU. None: not known.
    """

    index: int
    uuid: str | None
    name: str
    memory_bytes: int | None = None
    driver: str | None = None
    capability: str | None = None  # of its hardware: "9.0"
    parent: str | None = None

    @property
    def selector(self) -> str:
        """Return what names it in CUDA_VISIBLE_DEVICES."""
        return self.uuid or str(self.index)

    def describe(self) -> dict[str, Any]:
        """Return its fields as JSON, as a worker registers them."""
        return asdict(self)
