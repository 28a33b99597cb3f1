"""Faults of the store: killed at any script, unsynced bytes lost, frozen, full."""

import hashlib
import resource
from typing import Any

from faults.attack import Attack, NotRunnable
from faults.catalogue.entries import fault
from faults.proxy import BreakpointMode, ScriptBreakpoint
from faults.specs import make_body
from jobs.store.scripts import read_source

SCRIPTS = (
    "submit", "claim", "record_engine", "append", "renew", "add_log_event", "commit_checkpoint",
    "finish", "request_transition", "move_segment", "mark_finalized", "wakeups_due",
)  # fmt: skip
#: what a full disk still takes of the log, in bytes
MAX_LOG_GROWTH_BYTES = 3_000


def break_at_script(attack: Attack, script: str, mode: BreakpointMode, **options: Any) -> None:
    """Set a breakpoint at one script for the round; it is cleared at the round's end."""
    sha = hashlib.sha1(read_source(script).encode()).hexdigest().encode()
    breakpoint_ = ScriptBreakpoint(mode, sha=sha, **options)
    attack.breakpoints.append(attack.service.proxy.add_breakpoint(breakpoint_))


@fault("F5", "the store killed before or after a script, and started again", weight=3)
def kill_store_at_script(attack: Attack) -> None:
    modes: list[BreakpointMode] = ["request", "reply"]
    script, mode = attack.rng.choice(SCRIPTS), attack.rng.choice(modes)
    nth = attack.rng.randint(1, 3) if script in ("append", "renew", "wakeups_due") else 1
    pause = attack.rng.uniform(0.0, 0.3)

    def kill_and_restart() -> None:
        attack.service.server.kill()
        attack.run_later(pause, attack.service.server.start)

    break_at_script(attack, script, mode, nth=nth, action=kill_and_restart)
    attack.log(f"the store dies at {script}, {mode}")
    job = attack.new_job(attack.rng.choice(["dropout", "momentum"]))
    attack.wait_for(lambda: attack.breakpoints[0].hit.is_set() or job.is_over, 15)


@fault("F6", "power loss: the store killed, its log cut to what was synced", weight=1)
def cut_power(attack: Attack) -> None:
    service = attack.service
    if service.preload.library is None:
        raise NotRunnable("there is no gcc to build the shim with that notes what was synced")
    attack.running_job()
    attack.sleep(0.0, 0.5)
    service.server.kill()
    lost_bytes = service.preload.cut_to_synced(service.server.folder)
    service.server.start()
    attack.record_fault(f"power loss, {lost_bytes} bytes of the log were not on the disk")


@fault("F7", "the store frozen for a second", weight=1)
def freeze_store(attack: Attack) -> None:
    attack.running_job()
    attack.service.server.freeze()
    attack.wait_for(lambda: False, 1.0)
    attack.service.server.thaw()
    attack.record_fault("froze the store for 1.0 s")


@fault("F7.long", "the store frozen for 10 s: the API says 503 within 5 s", weight=0.06, alone=True)
def freeze_store_for_long(attack: Attack) -> None:
    attack.running_job()
    attack.service.server.freeze()
    attack.run_later(10.0, attack.service.server.thaw)
    response = attack.context.watcher.request("GET", "/v1/jobs")
    status = response.status_code if response is not None else None
    attack.record_fault("froze the store for 10 s")
    attack.expect(status == 503, f"the API said {status} of a frozen store")
    attack.wait_for(lambda: False, 10.5)


@fault("F14", "full disk under the store: it must end, and lose nothing", weight=0.25, alone=True)
def fill_disk(attack: Attack) -> None:
    """Limit the size of the store's files, as a full disk does: it cannot write its log."""
    service = attack.service
    attack.running_job()
    log = max(service.server.folder.rglob("*.aof"), key=lambda file: file.stat().st_size)
    limit = log.stat().st_size + attack.rng.randint(1, MAX_LOG_GROWTH_BYTES)
    _, hard = resource.prlimit(service.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.server.pid, resource.RLIMIT_FSIZE, (limit, hard))
    has_ended = attack.wait_for(service.server.has_ended, 15)
    service.server.kill()
    service.server.start()
    attack.record_fault("filled the store's disk")
    attack.expect(has_ended, "the store went on without room for its log")


@fault(
    "F15", "the store's memory full: 507 for a submission, what runs ends", alone=True, weight=0.3
)
def fill_memory(attack: Attack) -> None:
    service = attack.service
    attack.running_job()
    service.store.config_set("maxmemory", 1)
    response = attack.context.watcher.request("POST", "/v1/jobs", json=make_body("replayed"))
    status = response.status_code if response is not None else None
    running = [job for job in attack.context.jobs if job.observed.job.get("status") == "running"]
    have_ended = attack.wait_for(lambda: all(job.is_over for job in running), 30)
    service.store.config_set("maxmemory", 0)
    attack.record_fault("filled the store's memory")
    attack.expect(status == 507, f"a submission got {status}, not 507")
    attack.expect(have_ended, "a running job did not end")


@fault("F20.store", "the store's clock stepped by an hour, and back", weight=0.15, alone=True)
def step_clock(attack: Attack) -> None:
    preload = attack.service.preload
    if preload.library is None:
        raise NotRunnable("there is no gcc to build the clock's shim with")
    attack.running_job()
    hours = attack.rng.choice([-1, 1])
    preload.step_clock(hours * 3600)
    attack.wait_for(lambda: False, 2.5)
    attack.record_fault(f"stepped the store's clock by {hours:+} h")
    preload.step_clock(0)
    attack.wait_for(lambda: False, 1.5)
