"""How a fault enters the catalogue: its name, what it does, what must hold beyond I1 to I8."""

from collections.abc import Callable
from dataclasses import dataclass

from faults.attack import Attack

Run = Callable[[Attack], None]


@dataclass(frozen=True)
class Entry:
    """One kind of fault. `weight`: how often the dice take it; `alone`: no other in its round."""

    name: str
    title: str
    run: Run
    spec: str
    weight: float
    alone: bool

    @property
    def number(self) -> int:
        """F12.answered is 12."""
        return int(self.name[1:].split(".")[0])


CATALOGUE: dict[str, Entry] = {}


def fault(
    name: str, title: str, *, spec: str = "dropout", weight: float = 1.0, alone: bool = False
) -> Callable[[Run], Run]:
    """Enter a function into the catalogue; `spec` is that of the jobs it asks for."""

    def enter(run: Run) -> Run:
        assert name not in CATALOGUE, f"{name} is there already"
        CATALOGUE[name] = Entry(name, title, run, spec, weight, alone)
        return run

    return enter
