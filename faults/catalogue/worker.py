"""What befalls a worker's processes: killed, frozen past the lease, told to go, its clock wrong."""

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial

import psutil

from faults.attack import Attack, NotRun, Trained
from faults.catalogue.entries import fault
from faults.house import LEASE_SECONDS
from faults.processes import send

#: scripts that a job's owner calls, each a place to die before or after
OWNERS = (
    "record_engine",
    "append",
    "renew",
    "commit_checkpoint",
    "finish",
    "move_segment",
    "mark_finalized",
)
PAST_THE_LEASE = 2 * LEASE_SECONDS + 0.5


def runner_of(attack: Attack, job: Trained) -> psutil.Process | None:
    """The pool child that holds a job; None when it was let go of in the meantime."""
    return attack.house.runner_of(job.job_id)


@fault("F2.runner", "the pool child killed", weight=4)
def runner_killed(attack: Attack) -> None:
    runner = runner_of(attack, attack.victim())
    if runner is not None:
        send(runner, signal.SIGKILL)
        attack.strike(f"killed the runner {runner.pid}")


@fault("F2.script", "the runner killed before or after a script", weight=8)
def runner_killed_at_a_script(attack: Attack) -> None:
    job = attack.job()
    for script in attack.dice.sample(OWNERS, 4):
        when = attack.dice.choice(["before", "after"])
        attack.arm(f"store:{script}:{when}", "kill", job, nth=attack.dice.randint(1, 3))


@fault("F2.raise", "an exception before or after a script, or in a move to files", weight=2)
def exception_at_a_script(attack: Attack) -> None:
    job = attack.job("replayed")
    script = attack.dice.choice(OWNERS[1:])
    when = attack.dice.choice(["before", "after"])
    attack.arm(f"store:{script}:{when}", "raise", job, nth=attack.dice.randint(1, 2))
    attack.arm(attack.dice.choice(["segment:write", "segment:commit"]), "raise", job)


@fault("F2.worker", "the worker's main process killed", weight=0.2)
def worker_killed(attack: Attack) -> None:
    runner = runner_of(attack, attack.victim())
    if runner is not None and (worker := runner.parent()) is not None:
        send(worker, signal.SIGKILL)
        attack.strike(f"killed the worker {worker.pid}")


@fault("F2.group", "a worker's whole process group killed, template and trainer too", weight=0.15)
def group_killed(attack: Attack) -> None:
    runner = runner_of(attack, attack.victim())
    if runner is None or (worker := runner.parent()) is None:
        return
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        below = worker.children(recursive=True)
        os.killpg(worker.pid, signal.SIGKILL)
        for process in below:
            send(process, signal.SIGKILL)
        attack.strike(f"killed the group {worker.pid} and {len(below)} below it")


@fault("F2.template", "the template killed", weight=0.25)
def template_killed(attack: Attack) -> None:
    attack.victim()
    templates = attack.house.role("template")
    if templates:
        send(attack.dice.choice(templates), signal.SIGKILL)
        attack.strike("killed a template")


@fault("F3.append", "the runner frozen before an append, past its lease, then woken", weight=1.5)
def frozen_before_an_append(attack: Attack) -> None:
    """The zombie's write comes when the next owner has written: only the fence keeps it out."""
    job = attack.job("replayed")
    armed = attack.arm("store:append:before", "stop", job, nth=attack.dice.randint(2, 3))
    attack.until(lambda: armed.fired or job.over, 60)
    armed.disarm()  # a runner that stopped later would be woken by nobody
    if armed.fired and attack.until(attack.house.frozen, 5):
        for runner in attack.house.frozen():
            attack.after(PAST_THE_LEASE, partial(send, runner, signal.SIGCONT))


@fault("F3.runner", "the runner frozen past its lease at any moment, then woken", weight=1.5)
def runner_frozen(attack: Attack) -> None:
    job = attack.victim()
    runner = runner_of(attack, job)
    if runner is not None:
        send(runner, signal.SIGSTOP)
        attack.after(PAST_THE_LEASE, lambda: send(runner, signal.SIGCONT))
        attack.strike(f"froze the runner {runner.pid}")


@fault("F3.trainer", "the trainer frozen past its lease, then woken", weight=1)
def trainer_frozen(attack: Attack) -> None:
    attack.victim()
    trainers = attack.house.role("trainer")
    if trainers:
        frozen = attack.dice.choice(trainers)
        send(frozen, signal.SIGSTOP)
        seconds = attack.dice.choice([1.0, PAST_THE_LEASE])
        attack.after(seconds, lambda: send(frozen, signal.SIGCONT))
        attack.strike(f"froze the trainer {frozen.pid} for {seconds} s")


@fault("F4.term", "SIGTERM to the worker of a running job: it drains and leaves", weight=0.2)
def worker_told_to_go(attack: Attack) -> None:
    _tell_worker(attack, signal.SIGTERM)


@fault("F4.twice", "SIGTERM twice", weight=0.15)
def worker_told_twice(attack: Attack) -> None:
    _tell_worker(attack, signal.SIGTERM, signal.SIGTERM)


@fault("F4.quit", "SIGQUIT to the worker of a running job", weight=0.15)
def worker_told_to_quit(attack: Attack) -> None:
    _tell_worker(attack, signal.SIGQUIT)


@fault("F4.runner", "SIGTERM or SIGQUIT to the pool child alone", weight=3)
def runner_told_to_go(attack: Attack) -> None:
    runner = runner_of(attack, attack.victim())
    if runner is not None:
        send(runner, attack.dice.choice([signal.SIGTERM, signal.SIGQUIT]))
        attack.strike(f"told the runner {runner.pid} to go")


@fault("F30.drain", "SIGKILL in the middle of a drain", weight=0.2)
def killed_while_draining(attack: Attack) -> None:
    worker = _tell_worker(attack, signal.SIGTERM)
    if worker is not None:
        attack.sleep(0.0, 0.4)
        send(worker, signal.SIGKILL)
        attack.strike(f"killed the worker {worker.pid} in its drain")


@fault("F20.worker", "a worker whose clock is an hour wrong", weight=0.06)
def worker_with_a_wrong_clock(attack: Attack) -> None:
    hours = attack.dice.choice([-1, 1])
    with another_worker(attack, hours):
        jobs = [attack.job("momentum") for _ in range(3)]
        attack.strike(f"a worker with its clock {hours:+} h took part")
        attack.until(lambda: all(job.over for job in jobs), 30)


@contextlib.contextmanager
def another_worker(attack: Attack, hours: int) -> Iterator[None]:
    """A third worker for a while, with its clock wrong by so many hours."""
    preload = attack.house.preload
    if preload.library is None:
        raise NotRun("there is no gcc to build the clock's shim with")
    clock = attack.house.folder / "clock-of-a-worker"
    clock.write_text(f"{hours * 3600}\n")
    worker = attack.house.start_worker(
        "wrong-clock", LD_PRELOAD=str(preload.library), FAULTS_CLOCK=str(clock)
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(20)


def _tell_worker(attack: Attack, *signals: signal.Signals) -> psutil.Process | None:
    """Signal the worker of a running job; the bound of its leaving is a promise."""
    runner = runner_of(attack, attack.victim())
    if runner is None or (worker := runner.parent()) is None:
        return None
    for number in signals:
        send(worker, number)
    attack.strike(f"told the worker {worker.pid} to go: {' '.join(s.name for s in signals)}")
    if not attack.until(lambda: not worker.is_running() or _gone(worker), 15):
        attack.promise(lambda: f"the worker {worker.pid} was there 15 s after {signals}")
    return worker


def _gone(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
