"""Leftovers of another version or another machine: they are refused and never misread."""

import signal

from faults.attack import Attack, JobUnderTest
from faults.catalogue.entries import fault
from faults.catalogue.service import run_component
from faults.processes import send_signal
from faults.records import TENANT
from faults.store_server import running_store
from jobs.store import keys

NEWER_SCHEMA = "2"  # a schema that this code does not know


@fault("F26", "a record of a newer schema: refused until it is gone", weight=0.4)
def write_newer_record(attack: Attack) -> None:
    """Pause the job, let a newer version write its record, and take that version away."""
    store, job = attack.service.store, attack.new_job("replayed")
    record_key = keys.job(TENANT, job.job_id)
    if not _pause_job(attack, job):
        return
    store.hset(record_key, "schema", NEWER_SCHEMA)
    response = attack.context.watcher.request("GET", f"/v1/jobs/{job.job_id}")
    status = None if response is None else response.status_code
    is_accepted = attack.request(job, "resume")
    before = store.hget(record_key, "attempt")
    attack.wait_for(lambda: False, 1.5)
    is_claimed = store.hget(record_key, "attempt") != before
    store.hset(record_key, "schema", "1")
    attack.record_fault("wrote a newer schema into a record")
    attack.expect(status == 503, f"a newer record was answered with {status}")
    attack.expect(not is_claimed, "a newer record was claimed")
    attack.expect(not is_accepted, "a newer record was changed")
    attack.wait_for(lambda: attack.request(job, "resume"), 10)


@fault("F28", "an empty store before another store's artifacts: no part starts on it", weight=0.08)
def start_on_another_store(attack: Attack) -> None:
    """Start on a store that was lost or restored from another's backup: an operator must decide."""
    service, component = attack.service, attack.rng.choice(["api", "workers"])
    with running_store() as server:
        result = run_component(attack, component, server.url, service.data)
    attack.record_fault(f"started {component} on another store")
    attack.expect(result.returncode == 2, f"{component} started: {result.stderr.strip()[-200:]}")


@fault("F29", "the only worker has kernels that give other bits", weight=0.08, alone=True)
def train_with_other_kernels(attack: Attack) -> None:
    """Leave only a worker with other kernels: the job waits for an equal one, and says so."""
    service, job = attack.service, attack.new_job("replayed")
    if not _pause_job(attack, job):
        return
    usual_processes = [*service.processes_of("worker"), *service.processes_of("child")]
    for process in usual_processes:
        send_signal(process, signal.SIGSTOP)
    odd_worker = service.start_worker("other-kernels", ATEN_CPU_CAPABILITY="default")
    try:
        attack.wait_for(lambda: _is_alone(attack), 90)
        attack.request(job, "resume")
        is_waiting = attack.wait_for(lambda: _is_waiting_for_fingerprint(job), 30)
        attack.record_fault("left a job to a worker of other kernels")
        attack.expect(is_waiting, f"it did not wait: {job.observed.job.get('queue')}")
        attack.add_check(lambda: None if job.observed.job.get("exact") else "it is inexact now")
    finally:
        odd_worker.terminate()
        odd_worker.wait(30)
        for process in usual_processes:
            send_signal(process, signal.SIGCONT)


def _pause_job(attack: Attack, job: JobUnderTest) -> bool:
    attack.wait_for(lambda: job.tick > 0, 20)
    attack.request(job, "pause")
    attack.wait_for(lambda: job.is_over or job.observed.job.get("status") == "paused", 20)
    return not job.is_over


def _is_alone(attack: Attack) -> bool:
    """Return whether the odd worker is the only one that is announced."""
    page = attack.context.watcher.request("GET", "/v1/workers")
    names = [] if page is None else [worker["name"] for worker in page.json().get("data", [])]
    return names == ["other-kernels"]


def _is_waiting_for_fingerprint(job: JobUnderTest) -> bool:
    return bool((job.observed.job.get("queue") or {}).get("reason") == "fingerprint")
