"""The numbers of a job's events and attempts, which leap at each rebuild. Sends no command.

An item's place among all that the job ever had counts from 1. Without a rebuild it is the item's
number. What a lost store had shown beyond the archive is not known: so after rebuild `r` the next
item has the number r * NUMBERS_PER_REBUILD + 1, and a cursor of before never hides or repeats one.
"""

from bisect import bisect_left
from dataclasses import dataclass

#: more than a job can have between two rebuilds: 10,000 a second for 115 days
NUMBERS_PER_REBUILD = 10**11


@dataclass(frozen=True)
class Numbering:
    """Where the numbers leap: after `places[i]` items they go on from `bases[i]`."""

    places: tuple[int, ...] = (0,)
    bases: tuple[int, ...] = (0,)

    def number(self, place: int) -> int:
        """Return the number of the item at a place, from 1."""
        leap = bisect_left(self.places, place) - 1
        return self.bases[leap] + place - self.places[leap]

    def count(self, number: int) -> int:
        """Return how many items have a number up to this one, which any cursor may name."""
        leap = bisect_left(self.bases, number) - 1
        if leap < 0:
            return 0
        count = self.places[leap] + number - self.bases[leap]
        return min(count, self.places[leap + 1]) if leap + 1 < len(self.places) else count


def event_numbering(rebuilds: bytes | None) -> Numbering:
    """Return the numbering of a job's events, from the field `rebuilds` of its record."""
    return _parse_numbering(rebuilds, 1)


def attempt_numbering(rebuilds: bytes | None) -> Numbering:
    """Return the numbering of the cursors of a job's attempts."""
    return _parse_numbering(rebuilds, 2)


def _parse_numbering(rebuilds: bytes | None, part: int) -> Numbering:
    """Parse `base:events:attempts` of each rebuild, separated by spaces."""
    leaps = [list(map(int, leap.split(b":"))) for leap in (rebuilds or b"").split()]
    places, bases = [0, *(leap[part] for leap in leaps)], [0, *(leap[0] for leap in leaps)]
    return Numbering(tuple(places), tuple(bases))
