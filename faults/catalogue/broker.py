"""What befalls the bells: deleted, tripled, old, forged; nobody to ring, or far too many."""

import json
import signal
import threading
import time
from typing import Any

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.invariants import bells_bounded
from faults.processes import send
from faults.specs import LONG
from jobs import celery_app
from jobs.ledger.client import JobLedger
from jobs.spec.job_spec import read_spec
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, connect

BELLS = keys.celery_queue("cpu")
#: a pickle that would make a file if anybody opened it: os.system('touch …')
PICKLE = b"\x80\x03cposix\nsystem\nX%b%b\x85R."
CROWD, POLLERS = 1_000, 20
SEALED_WITHIN = 120  # seconds in which so many ended jobs have their records in files


@fault("F10", "the broker's list and its unacknowledged messages deleted", weight=5)
def bells_deleted(attack: Attack) -> None:
    attack.job("replayed")
    for _ in range(10):
        attack.house.store.delete(BELLS, "unacked", "unacked_index")
        time.sleep(0.02)
    attack.strike("deleted every bell for 0.2 s")


@fault("F11", "messages tripled, out of order, and old ones again", weight=3)
def bells_tripled(attack: Attack) -> None:
    jobs = [attack.job("replayed"), attack.job("replayed")]
    celery_app.wake_workers("cpu", 4)
    found: list[bytes] = attack.house.store.lrange(BELLS, 0, -1)  # type: ignore[assignment]
    again = found * 3
    attack.dice.shuffle(again)
    if again:
        attack.house.store.rpush(BELLS, *again)
    attack.scene.forged += len(again) + 4
    attack.strike(f"pushed {len(again)} messages again")
    attack.after(1.0, lambda: celery_app.wake_workers("cpu", 3))
    attack.until(lambda: jobs[0].tick > 0, 5)


@fault("F19.many", "ten reconcilers more", weight=1)
def many_reconcilers(attack: Attack) -> None:
    house, most = attack.house, [0, 0]
    attack.job()
    over = time.monotonic() + 1.5

    def reconcile() -> None:
        store = connect(house.server.url)
        ledger = JobLedger(store)
        while time.monotonic() < over:
            try:
                for queue, times in ledger.take_due_wakeups(1.0).items():
                    celery_app.wake_workers(queue, times)
                most[0] = max(most[0], house.bells() - house.waiting())
            except UNAVAILABLE:
                pass
            time.sleep(0.05)
        store.close()

    threads = [threading.Thread(target=reconcile) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    attack.strike("ten more reconcilers rang")
    forged = attack.scene.forged + 4
    attack.promise(lambda: "; ".join(v.what for v in bells_bounded(most[0], 0, forged)) or None)


@fault("F19.none", "no reconciler for 4 s", weight=0.25)
def no_reconciler(attack: Attack) -> None:
    workers = attack.house.role("worker")
    for worker in workers:
        send(worker, signal.SIGSTOP)
    attack.job("replayed")
    attack.until(lambda: False, 4.0)
    for worker in workers:
        send(worker, signal.SIGCONT)
    attack.strike("stopped every reconciler for 4 s")


@fault("F24.garbage", "garbage, a list, a foreign task, 2 MB in the broker's list", weight=0.25)
def garbage(attack: Attack) -> None:
    kinds: list[bytes] = [
        b"garbage", b"[1, 2]", b"{}", b"x" * 2_000_000,
        json.dumps(_message("os.system", ["touch /nowhere"], "application/json")).encode(),
    ]  # fmt: skip
    attack.house.store.lpush(BELLS, attack.dice.choice(kinds))
    attack.scene.forged += 1
    attack.strike("forged a message")
    attack.job("replayed")


@fault("F24.pickle", "a pickle in the broker's list: nobody opens it", weight=0.15)
def pickle_in_the_list(attack: Attack) -> None:
    file = attack.house.folder / "opened"
    command = f"touch {file}".encode()
    body = PICKLE % (len(command).to_bytes(4, "little"), command)
    message = _message(
        celery_app.TASK_NAME, body.decode("latin-1"), "application/x-python-serialize"
    )
    attack.house.store.lpush(BELLS, json.dumps(message))
    attack.scene.forged += 1
    attack.strike("forged a message with a pickle")
    attack.job("replayed")
    attack.promise(lambda: "a pickle was opened" if file.exists() else None)


@fault("F27", f"{CROWD:,} jobs queued, {POLLERS} pollers", weight=0.05, alone=True)
def crowd(attack: Attack) -> None:
    """They wait behind everybody and are cancelled: what counts is what they make of the rest."""
    house, body = attack.house, {**LONG, "priority": -100}
    spec, most = read_spec(body, max_parameters=10**6), 0
    ledger = JobLedger(house.store)
    job = attack.job()
    crowd = [ledger.submit("default", spec).job_id for _ in range(CROWD)]
    over = [threading.Thread(target=_poll, args=(attack,)) for _ in range(POLLERS)]
    for thread in over:
        thread.start()
    for _ in range(20):
        celery_app.wake_workers("cpu")
        most = max(most, house.bells())
        time.sleep(0.1)
    for thread in over:
        thread.join()
    for job_id in crowd:
        ledger.request_transition("default", job_id, "cancel")
    attack.strike(f"{CROWD} jobs waited")
    attack.promise(lambda: None if most <= CROWD + 25 else f"{most} bells for {CROWD} jobs")
    attack.until(lambda: job.over, 30)
    heard = attack.until(lambda: house.bells() <= 2, 60)
    attack.promise(lambda: None if heard else f"{house.bells()} bells were not heard")
    kept = attack.until(lambda: house.store.scard(keys.UNFINALIZED_JOBS) <= 2, SEALED_WITHIN)
    attack.promise(lambda: None if kept else f"not sealed in {SEALED_WITHIN} s")


def _poll(attack: Attack) -> None:
    for _ in range(20):
        attack.scene.watcher.ask("GET", "/v1/jobs?limit=20")
        time.sleep(0.05)


def _message(task: str, args: Any, kind: str) -> dict[str, Any]:
    """A message as kombu would have put it there."""
    return {
        "body": args if isinstance(args, str) else json.dumps([args, {}, {}]),
        "content-type": kind, "content-encoding": "utf-8",
        "headers": {"task": task, "id": "forged", "lang": "py", "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "delivery_tag": "forged", "delivery_info": {"exchange": "", "routing_key": BELLS},
            "delivery_mode": 2, "priority": 0,
        },
    }  # fmt: skip
