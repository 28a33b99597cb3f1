"""How a fault enters the catalogue: its name, what it does, what must hold beyond I1 to I8."""

from collections.abc import Callable
from dataclasses import dataclass

from faults.attack import Attack

AttackFunction = Callable[[Attack], None]


@dataclass(frozen=True)
class CatalogueEntry:
    """One kind of fault. `weight`: how often the dice take it; `alone`: no other in its round."""

    name: str
    title: str
    run: AttackFunction
    spec: str
    weight: float
    alone: bool

    @property
    def number(self) -> int:
        """F12.answered is 12."""
        return int(self.name[1:].split(".")[0])


CATALOGUE: dict[str, CatalogueEntry] = {}


def fault(
    name: str, title: str, *, spec: str = "dropout", weight: float = 1.0, alone: bool = False
) -> Callable[[AttackFunction], AttackFunction]:
    """Enter a function into the catalogue; `spec` is that of the jobs it asks for."""

    def register(run: AttackFunction) -> AttackFunction:
        assert name not in CATALOGUE, f"{name} is there already"
        CATALOGUE[name] = CatalogueEntry(name, title, run, spec, weight, alone)
        return run

    return register
