"""Faults of the whole service: its API killed, a rolling restart under load, wrong settings."""

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
from faults.processes import ROOT, send_signal
from faults.service_under_test import ADMIN_KEY, COMPLETE_SERVICE
from faults.store_server import running_store
from jobs.store.connection import connect

#: seconds for an answer while the one process that could give it is itself started again
RESTART_SECONDS = 20.0
WEAK_SETTINGS = {"appendfsync": "everysec", "maxmemory-policy": "allkeys-lru", "appendonly": "no"}


@fault("F12.api", "every API process killed", weight=0.5)
def kill_api(attack: Attack) -> None:
    attack.running_job()
    attack.context.answer_timeout = RESTART_SECONDS
    attack.service.processes.kill("api")
    attack.record_fault("killed the API")
    attack.new_job("momentum")


@fault("F16", "a store whose settings would lose jobs: no part starts on it", weight=0.06)
def start_on_weak_store(attack: Attack) -> None:
    setting = attack.rng.choice(list(WEAK_SETTINGS))
    component = attack.rng.choice(["api", "workers"])
    with running_store() as server:
        client = connect(server.url)
        client.config_set(setting, WEAK_SETTINGS[setting])
        client.close()
        completed = run_component(attack, component, server.url, attack.service.folder / "weak")
    attack.record_fault(f"started {component} on a store with {setting} {WEAK_SETTINGS[setting]}")
    weakness = f"{setting}={WEAK_SETTINGS[setting]}"
    is_refused = completed.returncode == 2 and weakness in completed.stderr
    attack.expect(is_refused, f"{component} started on {weakness}")


@fault(
    "F25", "a rolling restart of every worker and of the API under load", weight=0.06, alone=True
)
def restart_all(attack: Attack) -> None:
    service, failures, stopped = attack.service, list[str](), threading.Event()
    attack.context.answer_timeout = RESTART_SECONDS
    arguments = (service.serving.url, stopped, failures)
    client = threading.Thread(target=_request_until_stopped, args=arguments)
    jobs = [attack.new_job(spec) for spec in ("dropout", "momentum", "patience")]
    client.start()
    arbiters = [candidate for candidate in service.processes_of("api") if not _is_child(candidate)]
    for process in [*service.processes_of("worker"), *arbiters]:
        _restart(attack, process)
    attack.wait_for(lambda: all(job.is_over for job in jobs), 30)
    stopped.set()
    client.join()
    attack.add_check(lambda: f"requests failed: {failures[:3]}" if failures else None)


def _restart(attack: Attack, process: psutil.Process) -> None:
    """Send SIGTERM to a process, and wait until it is gone and another has its place."""
    send_signal(process, signal.SIGTERM)
    has_ended = attack.wait_for(lambda: not process.is_running(), 20)
    is_replaced = attack.wait_for(lambda: _is_staffed(attack), 40)
    attack.record_fault(f"restarted {process.pid}")
    if not (has_ended and is_replaced):
        attack.add_check(lambda: f"no restart of {process.pid} within a minute")


def _is_staffed(attack: Attack) -> bool:
    roles = attack.service.count_by_role()
    return all(roles.get(role, 0) >= COMPLETE_SERVICE[role] for role in ("worker", "child", "api"))


def _is_child(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "-m api" in " ".join(parent.cmdline())


def _request_until_stopped(url: str, stopped: threading.Event, failures: list[str]) -> None:
    """Send requests until stopped, each on a new connection, as many clients do."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Connection": "close"}
    with httpx.Client(base_url=url, headers=headers, timeout=20, verify=False) as http:
        while not stopped.is_set():
            try:
                response = http.get("/v1/jobs?limit=5")
            except httpx.TransportError as error:
                failures.append(repr(error))
                continue
            can_retry = response.status_code == 503 and "Retry-After" in response.headers
            if response.status_code != 200 and not can_retry:
                failures.append(f"{response.status_code} {response.text[:80]}")
            time.sleep(0.05)


def run_component(
    attack: Attack, component: str, url: str, data: Path
) -> subprocess.CompletedProcess[str]:
    """Start `api` or `workers` on a store and data folder that it should refuse; await its end."""
    env = attack.service.processes.make_environment(
        attack.service.folder, TICKFORGE_REDIS_URL=url, TICKFORGE_ADMIN_KEY=ADMIN_KEY,
        TICKFORGE_DATA_DIR=str(data),
    )  # fmt: skip
    argv = [sys.executable, "-m", component]
    return subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
