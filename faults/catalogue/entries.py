"""The entries of the catalogue: a fault's name, its attack, and the spec of the jobs it creates."""

from collections.abc import Callable
from dataclasses import dataclass

from faults.attack import Attack

AttackFunction = Callable[[Attack], None]


@dataclass(frozen=True)
class CatalogueEntry:
    """One kind of fault. `weight`: its relative frequency; `alone`: no other fault in its round."""

    name: str
    title: str
    run: AttackFunction
    spec: str
    weight: float
    alone: bool

    @property
    def number(self) -> int:
        """Return the number in the name: 12 for F12.answered."""
        return int(self.name[1:].split(".")[0])


CATALOGUE: dict[str, CatalogueEntry] = {}


def fault(
    name: str, title: str, *, spec: str = "dropout", weight: float = 1.0, alone: bool = False
) -> Callable[[AttackFunction], AttackFunction]:
    """Register a function in the catalogue; `spec` names the spec of the jobs that it creates."""

    def register(run: AttackFunction) -> AttackFunction:
        assert name not in CATALOGUE, f"{name} is there already"
        CATALOGUE[name] = CatalogueEntry(name, title, run, spec, weight, alone)
        return run

    return register
