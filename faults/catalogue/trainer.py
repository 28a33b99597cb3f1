"""What befalls a trainer: killed at a tick, in a save, by its own job, hung; chains of these."""

from faults.attack import Attack
from faults.catalogue.entries import fault
from faults.specs import SPECS

SAVING = ("checkpoint:write", "checkpoint:fsync", "checkpoint:rename", "checkpoint:commit")
FOR_EVER = 1e6  # seconds
MOST_SEGFAULTS = 20


@fault("F1", "the trainer killed at ticks drawn by lot", spec="momentum", weight=8)
def killed_at_ticks(attack: Attack) -> None:
    """Five deaths, each later than the last: every attempt makes new ticks."""
    job = attack.job(attack.dice.choice(["dropout", "momentum", "patience", "replayed", "native"]))
    last = {"patience": 480}.get(job.spec, SPECS[job.spec]["budget"]["ticks"])
    for tick in sorted(attack.dice.sample(range(1, last + 1), 5)):
        attack.arm("tick", "kill", job, at=tick)


@fault(
    "F1.failing", "the trainer killed on the way to a failure of the job's own", spec="nonfinite"
)
def killed_before_a_failure(attack: Attack) -> None:
    job = attack.job()
    for tick in sorted(attack.dice.sample(range(1, 771), 3)):
        attack.arm("tick", "kill", job, at=tick)


@fault("F17", "killed between write, fsync, rename and commit of a checkpoint", weight=6)
def killed_while_saving(attack: Attack) -> None:
    job = attack.job(attack.dice.choice(["dropout", "momentum", "large"]))
    for point in SAVING:
        attack.arm(point, "kill", job, nth=attack.dice.randint(1, 4))


@fault("F21", "a job that kills its process each time", spec="replayed", weight=0.7)
def poison(attack: Attack) -> None:
    """An attempt that gets nearer to the tick counts anew, so there are more than five deaths."""
    job = attack.job()
    tick = attack.dice.randint(1, 40)
    for _ in range(MOST_SEGFAULTS):
        attack.arm("tick", "segv", job, at=tick)
    job.ends.add("failed")

    def given_up() -> str | None:
        found = job.seen.job
        if found.get("status") != "failed" or (found.get("error") or {}).get("type") != "poison":
            return f"not given up: {found.get('status')}, {found.get('error')}"
        return None

    attack.promise(given_up)


@fault("F22", "the trainer hangs for ever", spec="replayed", weight=0.5)
def hung(attack: Attack) -> None:
    job = attack.job()
    armed = attack.arm("tick", "delay", job, at=attack.dice.randint(1, 1000), seconds=FOR_EVER)

    def ended_by_the_stall_limit() -> str | None:
        if armed.fired and job.seen.job.get("attempt", 0) < 2:
            return "it hung, and no second attempt was made"
        return None

    attack.promise(ended_by_the_stall_limit)


@fault("F30.save", "killed in a save, in the load after it, in the replay after that", weight=3)
def killed_on_every_step_of_a_resume(attack: Attack) -> None:
    job = attack.job(attack.dice.choice(["dropout", "large"]))
    attack.arm("checkpoint:write", "kill", job, nth=attack.dice.randint(6, 12))
    attack.arm("load", "kill", job)
    attack.arm("replay", "kill", job, nth=attack.dice.randint(1, 2))


@fault("F30.commit", "killed before and after the script that commits a checkpoint", weight=3)
def killed_around_a_commit(attack: Attack) -> None:
    job = attack.job(attack.dice.choice(["momentum", "large"]))
    attack.arm("store:commit_checkpoint:before", "kill", job, nth=attack.dice.randint(1, 2))
    attack.arm("store:commit_checkpoint:after", "kill", job)
    attack.arm("checkpoint:rename", "kill", job, nth=2)
