"""Which faults meet in which round: drawn from a seed, written as JSON, run again from that."""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from faults.catalogue import CATALOGUE, Entry

TOGETHER = 8  # attacks of one round


@dataclass(frozen=True)
class Round:
    """The faults of a round, by name, and the seed of their dice."""

    seed: int
    faults: list[str]


def chosen(only: str | None) -> list[Entry]:
    """The entries that a name stands for: `F2` all of its kinds, `F2.worker` one; None all."""
    found = [
        entry
        for entry in CATALOGUE.values()
        if only is None or entry.name == only or entry.name.split(".")[0] == only
    ]
    return sorted(found, key=lambda entry: (entry.number, entry.name))


def draw(seed: int, entries: list[Entry]) -> Iterator[Round]:
    """Rounds without end: first every fault once, then as their weights say."""
    dice = random.Random(seed)
    every = [entry for entry in entries if not entry.alone]
    dice.shuffle(every)
    for entry in [entry for entry in entries if entry.alone]:
        yield Round(dice.getrandbits(32), [entry.name])
    while every:
        together = _apart(every, TOGETHER)
        every = [entry for entry in every if entry not in together]
        yield Round(dice.getrandbits(32), [entry.name for entry in together])
    while True:
        yield Round(dice.getrandbits(32), [entry.name for entry in _drawn(dice, entries)])


def written(seed: int, rounds: list[Round]) -> str:
    """A schedule as JSON."""
    return json.dumps({"seed": seed, "rounds": [asdict(each) for each in rounds]}, indent=1)


def read(file: Path) -> tuple[int, list[Round]]:
    """A schedule that was written, and its seed."""
    told = json.loads(file.read_text())
    return told["seed"], [Round(each["seed"], each["faults"]) for each in told["rounds"]]


def _drawn(dice: random.Random, entries: list[Entry]) -> list[Entry]:
    weights = [entry.weight for entry in entries]
    found = dice.choices(entries, weights, k=TOGETHER * 2)
    if found[0].alone:
        return found[:1]
    return _apart([entry for entry in found if not entry.alone], TOGETHER)


def _apart(entries: list[Entry], most: int) -> list[Entry]:
    """The first of them, no two of one number: those would undo each other."""
    kept: list[Entry] = []
    for entry in entries:
        if all(entry.number != other.number for other in kept):
            kept.append(entry)
    return kept[:most]
