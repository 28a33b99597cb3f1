"""Faults of the network before the store: cut, one-way, slow, replies lost."""

from collections.abc import Sequence

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.catalogue.store import SCRIPTS, break_at_script
from faults.proxy import BreakpointMode, NetworkCondition
from faults.service_under_test import LEASE_SECONDS

WORKER_ROLES = ("worker", "child")
#: seconds of a partition: past the lease, so that a job changes hands
PARTITION_SECONDS = LEASE_SECONDS + 1.5


def partition(
    attack: Attack,
    description: str,
    roles: Sequence[str] = WORKER_ROLES,
    seconds: float = PARTITION_SECONDS,
    **condition: bool | float,
) -> None:
    """Set a network condition for some processes for a while; the round goes on in it."""
    proxy = attack.service.proxy
    ports = attack.service.port_filter(*roles)
    attack.running_job()
    proxy.set_condition(NetworkCondition(ports=ports, **condition))  # type: ignore[arg-type]
    attack.wait_for(lambda: False, seconds)
    proxy.set_condition()
    proxy.cut_links(ports)  # dropped bytes never come: a half-open connection ends some day
    attack.record_fault(f"{description} for {seconds} s")


@fault("F8.one-way", "replies of the store to workers dropped, past the lease", weight=0.35)
def drop_replies(attack: Attack) -> None:
    partition(attack, "no reply reached a worker", drop_replies=True)


@fault("F8.other-way", "requests of workers dropped, past the lease", weight=0.35)
def drop_requests(attack: Attack) -> None:
    partition(attack, "no request of a worker arrived", drop_requests=True)


@fault("F8.both", "workers parted from the store both ways, new connections too", weight=0.3)
def partition_workers(attack: Attack) -> None:
    description = "workers were parted from the store"
    partition(attack, description, drop_requests=True, drop_replies=True, refuse_connections=True)


@fault("F8.api", "the API parted from the store for a second", weight=0.7)
def partition_api(attack: Attack) -> None:
    description = "the API was parted from the store"
    partition(attack, description, ["api"], 1.0, drop_requests=True, drop_replies=True)


@fault("F8.slow", "a slow link: 60 ms each way", weight=0.35)
def slow_down(attack: Attack) -> None:
    partition(attack, "every way took 60 ms", [*WORKER_ROLES, "api"], 2.0, delay=0.06)


@fault("F8.cut", "every connection cut", weight=3)
def cut_connections(attack: Attack) -> None:
    attack.running_job()
    attack.record_fault(f"cut {attack.service.proxy.cut_links()} connections")


@fault("F8.inside", "connections cut inside a reply", weight=4)
def cut_inside_reply(attack: Attack) -> None:
    break_at_scripts(attack, "inside")


@fault("F9", "the reply lost after a script ran", weight=8)
def lose_reply(attack: Attack) -> None:
    break_at_scripts(attack, "reply")


@fault("F9.request", "the connection cut before a script ran", weight=3)
def lose_request(attack: Attack) -> None:
    break_at_scripts(attack, "request")


@fault("F9.swallowed", "the reply withheld: the client waits for its timeout", weight=0.4)
def swallow_reply(attack: Attack) -> None:
    break_at_scripts(attack, "swallow")


def break_at_scripts(attack: Attack, mode: BreakpointMode) -> None:
    """Set five breakpoints at random scripts, and submit jobs that run into them."""
    for script in attack.rng.sample(SCRIPTS, 5):
        break_at_script(attack, script, mode, nth=attack.rng.randint(1, 2))
    attack.new_job()
