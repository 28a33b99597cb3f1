"""What another version, or another machine, would have left: refused, never misread."""

import signal
import subprocess
import sys

from faults.attack import Attack, Trained
from faults.catalogue.entries import fault
from faults.house import ADMIN_KEY
from faults.processes import ROOT, send
from faults.records import TENANT
from faults.store_server import running_store
from jobs.store import keys

NEXT = "2"  # a schema that this code does not know


@fault("F26", "a record of a schema that is not known yet: refused until it is gone", weight=0.4)
def newer_record(attack: Attack) -> None:
    """The job is paused, then a newer version has written its record; then that one is gone."""
    store, job = attack.house.store, attack.job("replayed")
    name = keys.job(TENANT, job.job_id)
    if not _paused(attack, job):
        return
    store.hset(name, "schema", NEXT)
    answer = attack.scene.watcher.ask("GET", f"/v1/jobs/{job.job_id}")
    status = None if answer is None else answer.status_code
    asked = attack.ask(job, "resume")
    before = store.hget(name, "attempt")
    attack.until(lambda: False, 1.5)
    claimed = store.hget(name, "attempt") != before
    store.hset(name, "schema", "1")
    attack.strike("wrote a newer schema into a record")
    attack.promise(lambda: None if status == 503 else f"a newer record was answered with {status}")
    attack.promise(lambda: "a newer record was claimed" if claimed else None)
    attack.promise(lambda: "a newer record was changed" if asked else None)
    attack.until(lambda: attack.ask(job, "resume"), 10)


@fault("F28", "an empty store before another store's artifacts: no part starts on it", weight=0.08)
def another_store(attack: Attack) -> None:
    """As after a store that was lost, or restored from another's backup: somebody must decide."""
    house, part = attack.house, attack.dice.choice(["api", "workers"])
    with running_store() as server:
        ours = {"TICKFORGE_REDIS_URL": server.url, "TICKFORGE_ADMIN_KEY": ADMIN_KEY}
        ours["TICKFORGE_DATA_DIR"] = str(house.data)
        ran = subprocess.run(
            [sys.executable, "-m", part], cwd=ROOT, capture_output=True, text=True, timeout=60,
            env=house.marked.environment(house.folder, **ours),
        )  # fmt: skip
    attack.strike(f"started {part} on another store")
    said = ran.stderr.strip()[-200:]
    attack.promise(lambda: None if ran.returncode == 2 else f"{part} started: {said}")


@fault("F29", "a worker whose kernels give other bits is all there is", weight=0.08, alone=True)
def other_kernels(attack: Attack) -> None:
    """The job waits for a worker that is equal to its first, and says so."""
    house, job = attack.house, attack.job("replayed")
    if not _paused(attack, job):
        return
    usual = [*house.role("worker"), *house.role("child")]
    for process in usual:
        send(process, signal.SIGSTOP)
    odd = house.start_worker("other-kernels", ATEN_CPU_CAPABILITY="default")
    try:
        attack.until(lambda: _alone(attack), 90)
        attack.ask(job, "resume")
        waits = attack.until(lambda: _waits_for_a_fingerprint(job), 30)
        attack.strike("left a job to a worker of other kernels")
        attack.promise(lambda: None if waits else f"it did not wait: {job.seen.job.get('queue')}")
        attack.promise(lambda: None if job.seen.job.get("exact") else "it is not exact any more")
    finally:
        odd.terminate()
        odd.wait(30)
        for process in usual:
            send(process, signal.SIGCONT)


def _paused(attack: Attack, job: Trained) -> bool:
    attack.until(lambda: job.tick > 0, 20)
    attack.ask(job, "pause")
    attack.until(lambda: job.over or job.seen.job.get("status") == "paused", 20)
    return not job.over


def _alone(attack: Attack) -> bool:
    """Whether the odd worker is the only one that says it lives."""
    page = attack.scene.watcher.ask("GET", "/v1/workers")
    names = [] if page is None else [each["name"] for each in page.json().get("data", [])]
    return names == ["other-kernels"]


def _waits_for_a_fingerprint(job: Trained) -> bool:
    return bool((job.seen.job.get("queue") or {}).get("reason") == "fingerprint")
