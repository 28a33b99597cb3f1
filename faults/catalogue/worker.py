"""Faults of a worker's processes: killed, frozen past the lease, stopped, with a wrong clock."""

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial

import psutil

from faults.attack import Attack, NotRunnable
from faults.catalogue.entries import fault
from faults.processes import send_signal
from faults.service_under_test import LEASE_SECONDS

#: scripts that a job's owner calls, each a place to die before or after
OWNER_SCRIPTS = (
    "record_engine",
    "append",
    "renew",
    "commit_checkpoint",
    "finish",
    "move_segment",
    "mark_finalized",
)
PAST_LEASE_SECONDS = 2 * LEASE_SECONDS + 0.5


def find_runner(attack: Attack) -> psutil.Process | None:
    """Return the pool child that holds a running job, or None if it was released meanwhile."""
    return attack.service.runner_of(attack.running_job().job_id)


@fault("F2.runner", "the pool child killed", weight=4)
def kill_runner(attack: Attack) -> None:
    if (runner := find_runner(attack)) is not None:
        send_signal(runner, signal.SIGKILL)
        attack.record_fault(f"killed the runner {runner.pid}")


@fault("F2.script", "the runner killed before or after a script", weight=8)
def kill_runner_at_script(attack: Attack) -> None:
    job = attack.new_job()
    for script in attack.rng.sample(OWNER_SCRIPTS, 4):
        when = attack.rng.choice(["before", "after"])
        attack.arm(f"store:{script}:{when}", "kill", job, nth=attack.rng.randint(1, 3))


@fault("F2.raise", "an exception before or after a script, or in a move to files", weight=2)
def raise_at_script(attack: Attack) -> None:
    job = attack.new_job("replayed")
    script = attack.rng.choice(OWNER_SCRIPTS[1:])
    when = attack.rng.choice(["before", "after"])
    attack.arm(f"store:{script}:{when}", "raise", job, nth=attack.rng.randint(1, 2))
    attack.arm(attack.rng.choice(["segment:write", "segment:commit"]), "raise", job)


@fault("F2.worker", "the worker's main process killed", weight=0.2)
def kill_worker(attack: Attack) -> None:
    if (runner := find_runner(attack)) is not None and (worker := runner.parent()) is not None:
        send_signal(worker, signal.SIGKILL)
        attack.record_fault(f"killed the worker {worker.pid}")


@fault(
    "F2.group", "a worker's whole process group killed, fork server and trainer too", weight=0.15
)
def kill_group(attack: Attack) -> None:
    if (runner := find_runner(attack)) is None or (worker := runner.parent()) is None:
        return
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        descendants = worker.children(recursive=True)
        os.killpg(worker.pid, signal.SIGKILL)
        for process in descendants:
            send_signal(process, signal.SIGKILL)
        attack.record_fault(f"killed the group {worker.pid} and {len(descendants)} below it")


@fault("F2.template", "the fork server killed", weight=0.25)
def kill_fork_server(attack: Attack) -> None:
    attack.running_job()
    if fork_servers := attack.service.processes_of("template"):
        send_signal(attack.rng.choice(fork_servers), signal.SIGKILL)
        attack.record_fault("killed a fork server")


@fault("F3.append", "the runner frozen before an append, past its lease, then woken", weight=1.5)
def freeze_before_append(attack: Attack) -> None:
    """Let a frozen owner write after the next owner has written: only the fence keeps it out."""
    job = attack.new_job("replayed")
    armed = attack.arm("store:append:before", "stop", job, nth=attack.rng.randint(2, 3))
    attack.wait_for(lambda: armed.has_fired or job.is_over, 60)
    armed.disarm()  # a runner that stopped later would never be woken
    if armed.has_fired and attack.wait_for(attack.service.frozen_processes, 5):
        for runner in attack.service.frozen_processes():
            attack.run_later(PAST_LEASE_SECONDS, partial(send_signal, runner, signal.SIGCONT))


@fault("F3.runner", "the runner frozen past its lease at any moment, then woken", weight=1.5)
def freeze_runner(attack: Attack) -> None:
    if (runner := find_runner(attack)) is not None:
        send_signal(runner, signal.SIGSTOP)
        attack.run_later(PAST_LEASE_SECONDS, lambda: send_signal(runner, signal.SIGCONT))
        attack.record_fault(f"froze the runner {runner.pid}")


@fault("F3.trainer", "the trainer frozen past its lease, then woken", weight=1)
def freeze_trainer(attack: Attack) -> None:
    attack.running_job()
    if trainers := attack.service.processes_of("trainer"):
        trainer = attack.rng.choice(trainers)
        send_signal(trainer, signal.SIGSTOP)
        seconds = attack.rng.choice([1.0, PAST_LEASE_SECONDS])
        attack.run_later(seconds, lambda: send_signal(trainer, signal.SIGCONT))
        attack.record_fault(f"froze the trainer {trainer.pid} for {seconds} s")


@fault("F4.term", "SIGTERM to the worker of a running job: it drains and leaves", weight=0.2)
def terminate_worker(attack: Attack) -> None:
    _signal_worker(attack, signal.SIGTERM)


@fault("F4.twice", "SIGTERM twice", weight=0.15)
def terminate_worker_twice(attack: Attack) -> None:
    _signal_worker(attack, signal.SIGTERM, signal.SIGTERM)


@fault("F4.quit", "SIGQUIT to the worker of a running job", weight=0.15)
def quit_worker(attack: Attack) -> None:
    _signal_worker(attack, signal.SIGQUIT)


@fault("F4.runner", "SIGTERM or SIGQUIT to the pool child alone", weight=3)
def terminate_runner(attack: Attack) -> None:
    if (runner := find_runner(attack)) is not None:
        send_signal(runner, attack.rng.choice([signal.SIGTERM, signal.SIGQUIT]))
        attack.record_fault(f"signalled the runner {runner.pid}")


@fault("F30.drain", "SIGKILL in the middle of a drain", weight=0.2)
def kill_while_draining(attack: Attack) -> None:
    worker = _signal_worker(attack, signal.SIGTERM)
    if worker is not None:
        attack.sleep(0.0, 0.4)
        send_signal(worker, signal.SIGKILL)
        attack.record_fault(f"killed the worker {worker.pid} in its drain")


@fault("F20.worker", "a worker whose clock is an hour wrong", weight=0.06)
def add_worker_with_wrong_clock(attack: Attack) -> None:
    hours = attack.rng.choice([-1, 1])
    with worker_with_wrong_clock(attack, hours):
        jobs = [attack.new_job("momentum") for _ in range(3)]
        attack.record_fault(f"a worker with its clock {hours:+} h took part")
        attack.wait_for(lambda: all(job.is_over for job in jobs), 30)


@contextlib.contextmanager
def worker_with_wrong_clock(attack: Attack, hours: int) -> Iterator[None]:
    """Run a third worker for a while, with its clock wrong by some hours."""
    preload = attack.service.preload
    if preload.library is None:
        raise NotRunnable("there is no gcc to build the clock's shim with")
    clock = attack.service.folder / "clock-of-a-worker"
    clock.write_text(f"{hours * 3600}\n")
    env = {"LD_PRELOAD": str(preload.library), "FAULTS_CLOCK": str(clock)}
    worker = attack.service.start_worker("wrong-clock", **env)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(20)


def _signal_worker(attack: Attack, *signals: signal.Signals) -> psutil.Process | None:
    """Signal the worker of a running job, and check that it leaves within the promised time."""
    if (runner := find_runner(attack)) is None or (worker := runner.parent()) is None:
        return None
    for number in signals:
        send_signal(worker, number)
    attack.record_fault(f"signalled the worker {worker.pid}: {' '.join(s.name for s in signals)}")
    if not attack.wait_for(lambda: not worker.is_running() or _has_exited(worker), 15):
        attack.add_check(lambda: f"the worker {worker.pid} was there 15 s after {signals}")
    return worker


def _has_exited(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
