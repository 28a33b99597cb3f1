"""Faults of the broker: wake-ups deleted, tripled, outdated, forged; no reconciler, or too many."""

import json
import signal
import threading
import time
from typing import Any

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.invariants import check_wakeups
from faults.processes import send_signal
from faults.specs import ENDLESS
from jobs import celery_app
from jobs.ledger.client import JobLedger
from jobs.spec.reading import read_spec
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, connect

WAKEUP_QUEUE = keys.celery_queue("cpu")
#: a pickle that would make a file if it were loaded: os.system('touch …')
PICKLE = b"\x80\x03cposix\nsystem\nX%b%b\x85R."
CROWD_SIZE, POLLERS = 1_000, 20
FINALIZE_SECONDS = 120  # in which the histories of the crowd move to files


@fault("F10", "the broker's list and its unacknowledged messages deleted", weight=5)
def delete_wakeups(attack: Attack) -> None:
    attack.new_job("replayed")
    for _ in range(10):
        attack.service.store.delete(WAKEUP_QUEUE, "unacked", "unacked_index")
        time.sleep(0.02)
    attack.record_fault("deleted every wake-up for 0.2 s")


@fault("F11", "messages tripled, out of order, and old ones again", weight=3)
def triple_wakeups(attack: Attack) -> None:
    jobs = [attack.new_job("replayed"), attack.new_job("replayed")]
    celery_app.wake_workers("cpu", 4)
    messages: list[bytes] = attack.service.store.lrange(WAKEUP_QUEUE, 0, -1)  # type: ignore[assignment]
    repeated = messages * 3
    attack.rng.shuffle(repeated)
    if repeated:
        attack.service.store.rpush(WAKEUP_QUEUE, *repeated)
    attack.context.forged_messages += len(repeated) + 4
    attack.record_fault(f"pushed {len(repeated)} messages again")
    attack.run_later(1.0, lambda: celery_app.wake_workers("cpu", 3))
    attack.wait_for(lambda: jobs[0].tick > 0, 5)


@fault("F19.many", "ten more reconcilers", weight=1)
def run_many_reconcilers(attack: Attack) -> None:
    service, max_pending = attack.service, [0, 0]
    attack.new_job()
    deadline = time.monotonic() + 1.5

    def reconcile() -> None:
        store = connect(service.server.url)
        ledger = JobLedger(store)
        while time.monotonic() < deadline:
            try:
                until = time.monotonic() + 1.0
                for queue, times in ledger.take_due_wakeups(1.0).items():
                    celery_app.wake_workers(queue, times, until=until)
                pending = service.count_wakeups() - service.count_queued_jobs()
                max_pending[0] = max(max_pending[0], pending)
            except UNAVAILABLE:
                pass
            time.sleep(0.05)
        store.close()

    threads = [threading.Thread(target=reconcile) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    attack.record_fault("ten more reconcilers rang")
    violations = check_wakeups(max_pending[0], 0, attack.context.forged_messages + 4)
    attack.expect(not violations, "; ".join(violation.what for violation in violations))


@fault("F19.none", "no reconciler for 4 s", weight=0.25)
def stop_reconcilers(attack: Attack) -> None:
    workers = attack.service.processes_of("worker")
    for worker in workers:
        send_signal(worker, signal.SIGSTOP)
    attack.new_job("replayed")
    attack.wait_for(lambda: False, 4.0)
    for worker in workers:
        send_signal(worker, signal.SIGCONT)
    attack.record_fault("stopped every reconciler for 4 s")


@fault("F24.garbage", "garbage, a list, a foreign task, 2 MB in the broker's list", weight=0.25)
def push_garbage(attack: Attack) -> None:
    messages: list[bytes] = [
        b"garbage", b"[1, 2]", b"{}", b"x" * 2_000_000,
        json.dumps(_make_message("os.system", ["touch /nowhere"], "application/json")).encode(),
    ]  # fmt: skip
    attack.service.store.lpush(WAKEUP_QUEUE, attack.rng.choice(messages))
    attack.context.forged_messages += 1
    attack.record_fault("forged a message")
    attack.new_job("replayed")


@fault("F24.pickle", "a pickle in the broker's list: it is never loaded", weight=0.15)
def push_pickle(attack: Attack) -> None:
    file = attack.service.folder / "opened"
    command = f"touch {file}".encode()
    body = (PICKLE % (len(command).to_bytes(4, "little"), command)).decode("latin-1")
    message = _make_message(celery_app.TASK_NAME, body, "application/x-python-serialize")
    attack.service.store.lpush(WAKEUP_QUEUE, json.dumps(message))
    attack.context.forged_messages += 1
    attack.record_fault("forged a message with a pickle")
    attack.new_job("replayed")
    attack.add_check(lambda: "a pickle was opened" if file.exists() else None)


@fault("F27", f"{CROWD_SIZE:,} jobs queued, {POLLERS} pollers", weight=0.05, alone=True)
def queue_crowd(attack: Attack) -> None:
    """Queue 1,000 jobs behind all others and cancel them: they must not slow the rest down."""
    service, body = attack.service, {**ENDLESS, "priority": -100}
    spec, max_pending = read_spec(body, max_parameters=10**6), 0
    ledger = JobLedger(service.store)
    job = attack.new_job()
    job_ids = [ledger.submit("default", spec).job_id for _ in range(CROWD_SIZE)]
    pollers = [threading.Thread(target=_poll_jobs, args=(attack,)) for _ in range(POLLERS)]
    for thread in pollers:
        thread.start()
    for _ in range(20):
        celery_app.wake_workers("cpu")
        max_pending = max(max_pending, service.count_wakeups())
        time.sleep(0.1)
    for thread in pollers:
        thread.join()
    for job_id in job_ids:
        ledger.request_transition("default", job_id, "cancel")
    attack.record_fault(f"{CROWD_SIZE} jobs waited")
    attack.expect(max_pending <= CROWD_SIZE + 25, f"{max_pending} wake-ups pending")
    attack.wait_for(lambda: job.is_over, 30)
    were_taken = attack.wait_for(lambda: service.count_wakeups() <= 2, 60)
    attack.add_check(
        lambda: None if were_taken else f"{service.count_wakeups()} wake-ups were not consumed"
    )
    were_finalized = attack.wait_for(
        lambda: service.store.scard(keys.UNFINALIZED_JOBS) <= 2, FINALIZE_SECONDS
    )
    attack.expect(were_finalized, f"not sealed in {FINALIZE_SECONDS} s")


def _poll_jobs(attack: Attack) -> None:
    for _ in range(20):
        attack.context.watcher.request("GET", "/v1/jobs?limit=20")
        time.sleep(0.05)


def _make_message(task: str, args: Any, kind: str) -> dict[str, Any]:
    """Return a message in the form that kombu would give it."""
    return {
        "body": args if isinstance(args, str) else json.dumps([args, {}, {}]),
        "content-type": kind, "content-encoding": "utf-8",
        "headers": {"task": task, "id": "forged", "lang": "py", "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "delivery_tag": "forged",
            "delivery_info": {"exchange": "", "routing_key": WAKEUP_QUEUE},
            "delivery_mode": 2, "priority": 0,
        },
    }  # fmt: skip
