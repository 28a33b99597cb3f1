"""What befalls the store: killed at any script, robbed of what was not synced, frozen, full."""

import hashlib
import resource
from typing import Any

from faults.attack import Attack, NotRun
from faults.catalogue.entries import fault
from faults.proxy import Spring, Trap
from faults.specs import body
from jobs.store.scripts import read_source

SCRIPTS = (
    "submit", "claim", "record_engine", "append", "renew", "add_log_event", "commit_checkpoint", "finish",
    "request_transition", "move_segment", "mark_finalized", "wakeups_due",
)  # fmt: skip
#: what a full disk still takes of the log, in bytes
ROOM = 3_000


def trap(attack: Attack, script: str, spring: Spring, **more: Any) -> Trap:
    """A trap at a call of one script, taken up again at the round's end."""
    sha = hashlib.sha1(read_source(script).encode()).hexdigest().encode()
    return attack.house.proxy.set(Trap(spring, sha=sha, **more))


@fault("F5", "the store killed before or after a script, and started again", weight=3)
def killed_at_a_script(attack: Attack) -> None:
    springs: list[Spring] = ["request", "reply"]
    script, spring = attack.dice.choice(SCRIPTS), attack.dice.choice(springs)
    nth = attack.dice.randint(1, 3) if script in ("append", "renew", "due") else 1
    pause = attack.dice.uniform(0.0, 0.3)

    def fall() -> None:
        attack.house.server.kill()
        attack.after(pause, attack.house.server.start)

    attack.traps.append(trap(attack, script, spring, nth=nth, act=fall))
    attack.say(f"the store dies at {script}, {spring}")
    job = attack.job(attack.dice.choice(["dropout", "momentum"]))
    attack.until(lambda: attack.traps[0].sprung.is_set() or job.over, 15)


@fault("F6", "power loss: the store killed, its log cut to what was synced", weight=1)
def power_loss(attack: Attack) -> None:
    house = attack.house
    if house.preload.library is None:
        raise NotRun("there is no gcc to build the shim with that notes what was synced")
    attack.victim()
    attack.sleep(0.0, 0.5)
    house.server.kill()
    gone = house.preload.cut_to_synced(house.server.folder)
    house.server.start()
    attack.strike(f"power loss, {gone} bytes of the log were not on the disk")


@fault("F7", "the store frozen for a second", weight=1)
def frozen(attack: Attack) -> None:
    attack.victim()
    freeze(attack, 1.0)


@fault("F7.long", "the store frozen for 10 s: the API says 503 within 5 s", weight=0.06, alone=True)
def frozen_for_long(attack: Attack) -> None:
    attack.victim()
    attack.house.server.freeze()
    attack.after(10.0, attack.house.server.thaw)
    answer = attack.scene.watcher.ask("GET", "/v1/jobs")
    status = answer.status_code if answer is not None else None
    attack.strike("froze the store for 10 s")
    attack.promise(lambda: None if status == 503 else f"the API said {status} of a frozen store")
    attack.until(lambda: False, 10.5)


def freeze(attack: Attack, seconds: float) -> None:
    """Stop the store's process for a while."""
    attack.house.server.freeze()
    attack.until(lambda: False, seconds)
    attack.house.server.thaw()
    attack.strike(f"froze the store for {seconds} s")


@fault("F14", "full disk under the store: it must end, and lose nothing", weight=0.25, alone=True)
def full_disk(attack: Attack) -> None:
    """A limit of the file's size stands in for the disk; the server cannot write its log."""
    house = attack.house
    attack.victim()
    log = max(house.server.folder.rglob("*.aof"), key=lambda file: file.stat().st_size)
    limit = log.stat().st_size + attack.dice.randint(1, ROOM)
    _, hard = resource.prlimit(house.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(house.server.pid, resource.RLIMIT_FSIZE, (limit, hard))
    ended = attack.until(house.server.ended, 15)
    house.server.kill()
    house.server.start()
    attack.strike("filled the store's disk")
    attack.promise(lambda: None if ended else "the store went on without room for its log")


@fault(
    "F15", "the store's memory full: 507 for a submission, what runs ends", alone=True, weight=0.3
)
def full_memory(attack: Attack) -> None:
    house = attack.house
    attack.victim()
    house.store.config_set("maxmemory", 1)
    answer = attack.scene.watcher.ask("POST", "/v1/jobs", json=body("replayed"))
    status = answer.status_code if answer is not None else None
    running = [job for job in attack.scene.jobs if job.seen.job.get("status") == "running"]
    ended = attack.until(lambda: all(job.over for job in running), 30)
    house.store.config_set("maxmemory", 0)
    attack.strike("filled the store's memory")
    attack.promise(lambda: None if status == 507 else f"a submission got {status}, not 507")
    attack.promise(lambda: None if ended else "a running job did not end")


@fault("F20.store", "the store's clock stepped by an hour, and back", weight=0.15, alone=True)
def clock_stepped(attack: Attack) -> None:
    preload = attack.house.preload
    if preload.library is None:
        raise NotRun("there is no gcc to build the clock's shim with")
    attack.victim()
    hours = attack.dice.choice([-1, 1])
    preload.step_clock(hours * 3600)
    attack.until(lambda: False, 2.5)
    attack.strike(f"stepped the store's clock by {hours:+} h")
    preload.step_clock(0)
    attack.until(lambda: False, 1.5)
