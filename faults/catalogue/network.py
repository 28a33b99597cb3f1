"""What befalls the network before the store: cut, deaf, mute, slow, replies lost."""

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.catalogue.store import SCRIPTS, trap
from faults.house import LEASE_SECONDS
from faults.proxy import Mood, Spring

WORKERS = ("worker", "child")
#: seconds of a partition: past the lease, so that a job changes hands
PARTED = LEASE_SECONDS + 1.5


def part(attack: Attack, seconds: float, what: str, *roles: str, **mood: bool | float) -> None:
    """Be in a mood towards some processes for a while; the round goes on in it."""
    proxy = attack.house.proxy
    who = attack.house.ports_of(*roles)
    attack.victim()
    proxy.behave(Mood(who=who, **mood))  # type: ignore[arg-type]
    attack.until(lambda: False, seconds)
    proxy.behave()
    proxy.cut(who)  # what was swallowed never comes: a half-open connection ends some day
    attack.strike(f"{what} for {seconds} s")


@fault("F8.one-way", "what the store says to workers goes nowhere, past the lease", weight=0.35)
def mute(attack: Attack) -> None:
    part(attack, PARTED, "no reply reached a worker", *WORKERS, mute=True)


@fault("F8.other-way", "what workers say goes nowhere, past the lease", weight=0.35)
def deaf(attack: Attack) -> None:
    part(attack, PARTED, "no request of a worker arrived", *WORKERS, deaf=True)


@fault("F8.both", "workers parted from the store both ways, new connections too", weight=0.3)
def parted(attack: Attack) -> None:
    what = "workers were parted from the store"
    part(attack, PARTED, what, *WORKERS, deaf=True, mute=True, refusing=True)


@fault("F8.api", "the API parted from the store for a second", weight=0.7)
def api_parted(attack: Attack) -> None:
    part(attack, 1.0, "the API was parted from the store", "api", deaf=True, mute=True)


@fault("F8.slow", "a slow link: 60 ms each way", weight=0.35)
def slow(attack: Attack) -> None:
    part(attack, 2.0, "every way took 60 ms", *WORKERS, "api", delay=0.06)


@fault("F8.cut", "every connection cut", weight=3)
def cut(attack: Attack) -> None:
    attack.victim()
    links = attack.house.proxy.cut()
    attack.strike(f"cut {links} connections")


@fault("F8.inside", "connections cut inside a reply", weight=4)
def cut_inside(attack: Attack) -> None:
    lose(attack, "inside")


@fault("F9", "the reply lost after a script ran", weight=8)
def reply_lost(attack: Attack) -> None:
    lose(attack, "reply")


@fault("F9.request", "the connection cut before a script ran", weight=3)
def request_lost(attack: Attack) -> None:
    lose(attack, "request")


@fault("F9.swallowed", "the reply swallowed: the client waits for its patience", weight=0.4)
def reply_swallowed(attack: Attack) -> None:
    lose(attack, "swallow")


def lose(attack: Attack, spring: Spring) -> None:
    """Set five traps at scripts drawn by lot, and submit what runs into them."""
    for script in attack.dice.sample(SCRIPTS, 5):
        attack.traps.append(trap(attack, script, spring, nth=attack.dice.randint(1, 2)))
    attack.job()
