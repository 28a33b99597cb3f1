"""What befalls the whole service: its API killed, a rolling restart under load, wrong settings."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.house import ADMIN_KEY, WHOLE
from faults.processes import ROOT, send
from faults.store_server import running_store
from jobs.store.connection import connect

#: seconds for an answer while the one process that could give it is itself started again
RESTART_SECONDS = 20.0
WEAK = {"appendfsync": "everysec", "maxmemory-policy": "allkeys-lru", "appendonly": "no"}


@fault("F12.api", "every API process killed", weight=0.5)
def api_killed(attack: Attack) -> None:
    attack.victim()
    attack.scene.patience = RESTART_SECONDS
    attack.house.marked.kill("api")
    attack.strike("killed the API")
    attack.job("momentum")


@fault("F16", "a store whose settings would lose jobs: no part starts on it", weight=0.06)
def weak_store(attack: Attack) -> None:
    name = attack.dice.choice(list(WEAK))
    part = attack.dice.choice(["api", "workers"])
    with running_store() as server:
        client = connect(server.url)
        client.config_set(name, WEAK[name])
        client.close()
        ran = subprocess.run(
            [sys.executable, "-m", part], cwd=ROOT, capture_output=True, text=True, timeout=60,
            env=_environment(attack, server.url),
        )  # fmt: skip
    attack.strike(f"started {part} on a store with {name} {WEAK[name]}")
    refused = ran.returncode == 2 and f"{name}={WEAK[name]}" in ran.stderr
    attack.promise(lambda: None if refused else f"{part} started on {name}={WEAK[name]}")


@fault(
    "F25", "a rolling restart of every worker and of the API under load", weight=0.06, alone=True
)
def rolling_restart(attack: Attack) -> None:
    house, failed = attack.house, list[str]()
    attack.scene.patience = RESTART_SECONDS
    over = threading.Event()
    client = threading.Thread(target=_ask_on, args=(house.serving.url, over, failed))
    jobs = [attack.job(spec) for spec in ("dropout", "momentum", "patience")]
    client.start()
    arbiters = [each for each in house.role("api") if not _is_child(each)]
    for process in [*house.role("worker"), *arbiters]:
        _restart(attack, process)
    attack.until(lambda: all(job.over for job in jobs), 30)
    over.set()
    client.join()
    attack.promise(lambda: f"requests failed: {failed[:3]}" if failed else None)


def _restart(attack: Attack, process: psutil.Process) -> None:
    """Tell a process to go, and wait until it is gone and another has its place."""
    send(process, signal.SIGTERM)
    gone = attack.until(lambda: not process.is_running(), 20)
    back = attack.until(lambda: _staffed(attack), 40)
    attack.strike(f"restarted {process.pid}")
    if not (gone and back):
        attack.promise(lambda: f"no restart of {process.pid} within a minute")


def _staffed(attack: Attack) -> bool:
    roles = attack.house.roles()
    return all(roles.get(role, 0) >= WHOLE[role] for role in ("worker", "child", "api"))


def _is_child(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "-m api" in " ".join(parent.cmdline())


def _ask_on(url: str, over: threading.Event, failed: list[str]) -> None:
    """Ask until told; each request on a connection of its own, as many clients do."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Connection": "close"}
    with httpx.Client(base_url=url, headers=headers, timeout=20) as http:
        while not over.is_set():
            try:
                answer = http.get("/v1/jobs?limit=5")
            except httpx.TransportError as error:
                failed.append(repr(error))
                continue
            if answer.status_code != 200 and not (
                answer.status_code == 503 and "Retry-After" in answer.headers
            ):
                failed.append(f"{answer.status_code} {answer.text[:80]}")
            time.sleep(0.05)


def _environment(attack: Attack, url: str) -> dict[str, str]:
    ours = {"TICKFORGE_REDIS_URL": url, "TICKFORGE_ADMIN_KEY": ADMIN_KEY}
    ours["TICKFORGE_DATA_DIR"] = str(Path(attack.house.folder) / "weak")
    return attack.house.marked.environment(attack.house.folder, **ours)
