"""Faults of a trainer: killed at a tick, in a save, by its own job, hung; chains of these."""

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.specs import SPECS

SAVE_POINTS = (
    "checkpoint:write",
    "checkpoint:fsync",
    "checkpoint:share",
    "checkpoint:rename",
    "checkpoint:commit",
)
FOREVER_SECONDS = 1e6  # seconds
MAX_SEGFAULTS = 20


@fault("F1", "the trainer killed at random ticks", spec="momentum", weight=8)
def kill_at_ticks(attack: Attack) -> None:
    """Kill the trainer five times, each at a later tick, so that every attempt makes new ticks."""
    spec = attack.rng.choice(["dropout", "momentum", "patience", "replayed", "native"])
    job = attack.new_job(spec)
    last = {"patience": 480}.get(job.spec, SPECS[job.spec]["budget"]["ticks"])
    for tick in sorted(attack.rng.sample(range(1, last + 1), 5)):
        attack.arm("tick", "kill", job, at=tick)


@fault(
    "F1.failing", "the trainer killed on the way to a failure of the job's own", spec="nonfinite"
)
def kill_before_failure(attack: Attack) -> None:
    job = attack.new_job()
    for tick in sorted(attack.rng.sample(range(1, 771), 3)):
        attack.arm("tick", "kill", job, at=tick)


@fault("F17", "killed between write, fsync, rename and commit of a checkpoint", weight=6)
def kill_while_saving(attack: Attack) -> None:
    job = attack.new_job(attack.rng.choice(["dropout", "momentum", "large"]))
    for point in SAVE_POINTS:
        attack.arm(point, "kill", job, nth=attack.rng.randint(1, 4))


@fault("F21", "a job that kills its trainer each time", spec="replayed", weight=0.7)
def poison_job(attack: Attack) -> None:
    """Kill every trainer of the job: attempts without a new tick must end it.

    An attempt that gets nearer to the tick resets the count, so there are more than five deaths.
    """
    job = attack.new_job()
    tick = attack.rng.randint(1, 40)
    for _ in range(MAX_SEGFAULTS):
        attack.arm("tick", "segv", job, at=tick)
    job.allowed_ends.add("failed")

    def check_given_up() -> str | None:
        status, error = job.observed.job.get("status"), job.observed.job.get("error")
        if status != "failed" or (error or {}).get("type") != "poison":
            return f"not given up: {status}, {error}"
        return None

    attack.add_check(check_given_up)


@fault("F22", "the trainer hangs for ever", spec="replayed", weight=0.5)
def hang_trainer(attack: Attack) -> None:
    job = attack.new_job()
    tick = attack.rng.randint(1, 1000)
    armed = attack.arm("tick", "delay", job, at=tick, seconds=FOREVER_SECONDS)

    def is_stuck() -> bool:
        return armed.has_fired and bool(job.observed.job.get("attempt", 0) < 2)

    attack.add_check(lambda: "it hung, and no second attempt was made" if is_stuck() else None)


@fault("F30.save", "killed in a save, in the load after it, in the replay after that", weight=3)
def kill_on_every_step_of_resume(attack: Attack) -> None:
    job = attack.new_job(attack.rng.choice(["dropout", "large"]))
    attack.arm("checkpoint:write", "kill", job, nth=attack.rng.randint(6, 12))
    attack.arm("load", "kill", job)
    attack.arm("replay", "kill", job, nth=attack.rng.randint(1, 2))


@fault("F30.commit", "killed before and after the script that commits a checkpoint", weight=3)
def kill_around_commit(attack: Attack) -> None:
    job = attack.new_job(attack.rng.choice(["momentum", "large"]))
    attack.arm("store:commit_checkpoint:before", "kill", job, nth=attack.rng.randint(1, 2))
    attack.arm("store:commit_checkpoint:after", "kill", job)
    attack.arm("checkpoint:rename", "kill", job, nth=2)
