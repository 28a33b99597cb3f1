"""The faults of each round: drawn from a seed, written as JSON, and run again from that."""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from faults.catalogue import CATALOGUE, CatalogueEntry

MAX_FAULTS_PER_ROUND = 8  # attacks of one round


@dataclass(frozen=True)
class Round:
    """The faults of a round, by name, and the seed of its random generators."""

    seed: int
    faults: list[str]


def select_entries(only: str | None) -> list[CatalogueEntry]:
    """Return the entries of a name: `F2` is all its variants, `F2.worker` one, None all."""
    entries = sorted(CATALOGUE.values(), key=lambda entry: (entry.number, entry.name))
    return [entry for entry in entries if only in (None, entry.name, entry.name.split(".")[0])]


def draw_rounds(seed: int, entries: list[CatalogueEntry]) -> Iterator[Round]:
    """Draw rounds for ever: first every fault once, then by weight."""
    rng = random.Random(seed)
    remaining = [entry for entry in entries if not entry.alone]
    rng.shuffle(remaining)
    for entry in [entry for entry in entries if entry.alone]:
        yield Round(rng.getrandbits(32), [entry.name])
    while remaining:
        batch = _with_distinct_numbers(remaining)
        remaining = [entry for entry in remaining if entry not in batch]
        yield Round(rng.getrandbits(32), [entry.name for entry in batch])
    while True:
        yield Round(rng.getrandbits(32), [entry.name for entry in _draw_entries(rng, entries)])


def schedule_json(seed: int, rounds: list[Round]) -> str:
    """Return a schedule as JSON."""
    return json.dumps({"seed": seed, "rounds": [asdict(round_) for round_ in rounds]}, indent=1)


def read_schedule(file: Path) -> tuple[int, list[Round]]:
    """Return a written schedule and its seed."""
    payload = json.loads(file.read_text())
    return payload["seed"], [Round(entry["seed"], entry["faults"]) for entry in payload["rounds"]]


def _draw_entries(rng: random.Random, entries: list[CatalogueEntry]) -> list[CatalogueEntry]:
    drawn = rng.choices(entries, [entry.weight for entry in entries], k=MAX_FAULTS_PER_ROUND * 2)
    if drawn[0].alone:
        return drawn[:1]
    return _with_distinct_numbers([entry for entry in drawn if not entry.alone])


def _with_distinct_numbers(entries: list[CatalogueEntry]) -> list[CatalogueEntry]:
    """Return the first names of distinct numbers: two of one number would undo each other."""
    distinct: list[CatalogueEntry] = []
    for entry in entries:
        if all(entry.number != other.number for other in distinct):
            distinct.append(entry)
    return distinct[:MAX_FAULTS_PER_ROUND]
