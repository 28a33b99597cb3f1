"""What clients do at the wrong moment: every request between two scripts, and in every phase."""

import secrets

from faults.attack import Attack, Trained
from faults.catalogue.entries import fault
from faults.catalogue.service import RESTART_SECONDS
from faults.specs import body
from jobs.fault_points import Action

VERBS = ("cancel", "stop", "pause", "checkpoints")
SCRIPTS = ("claim", "record_engine", "append", "commit_checkpoint", "finish")
#: a phase -> the point in it, and a spec whose jobs pass it
PHASES = {
    "a build": ("build", "dropout"),
    "a compilation": ("compile", "native"),
    "a validation": ("validate", "dropout"),
    "a save": ("checkpoint:write", "momentum"),
    "a save aside": ("checkpoint:fsync", "large"),
    "a commit": ("checkpoint:commit", "momentum"),
    "a move to files": ("segment:write", "replayed"),
    "the end of a move": ("segment:commit", "replayed"),
}
HELD_SECONDS = 0.5


@fault("F12.recorded", "the API killed between the record and the bell", weight=1)
def killed_after_the_record(attack: Attack) -> None:
    _killed_in_a_submission(attack, "api:recorded")


@fault("F12.answered", "the API killed before its answer", weight=1)
def killed_before_the_answer(attack: Attack) -> None:
    _killed_in_a_submission(attack, "api:answered")


def _killed_in_a_submission(attack: Attack, point: str) -> None:
    """The same Idempotency-Key must give one job, however often it is sent."""
    watcher, once = attack.scene.watcher, secrets.token_hex(8)
    attack.scene.patience = RESTART_SECONDS
    asked = {**body("replayed"), "labels": {"once": once}}
    armed = attack.arm(point, "kill")
    ids = set()
    for _ in range(20):
        answer = watcher.ask("POST", "/v1/jobs", json=asked, headers={"Idempotency-Key": once})
        if answer is not None and answer.status_code == 202:
            ids.add(answer.json()["id"])
            if armed.fired:
                break
        attack.sleep(0.1, 0.3)
    for job_id in ids:
        attack.scene.add(job_id, "replayed")

    def one_job() -> str | None:
        page = watcher.ask("GET", f"/v1/jobs?label=once:{once}")
        found = {job["id"] for job in page.json()["data"]} if page is not None else set()
        return None if found == ids and len(ids) == 1 else f"one key made {found}, told {ids}"

    attack.promise(one_job)


@fault("F23", "requests between any two scripts of a job's owner", weight=4)
def requests_between_scripts(attack: Attack) -> None:
    job = attack.job("momentum")
    when = attack.dice.choice(["before", "after"])
    point = f"store:{attack.dice.choice(SCRIPTS)}:{when}"
    armed = attack.arm(point, "delay", job, seconds=HELD_SECONDS)
    if not attack.until(lambda: armed.fired or job.over, 15):
        return
    for verb in attack.dice.sample(["pause", "resume", "pause", "cancel", "stop"], 3):
        attack.ask(job, verb)
        attack.sleep(0.0, 0.2)
    let_go_on(attack, job)


@fault("F31.request", "a request landing in a build, a validation, a save, a move", weight=5)
def request_in_a_phase(attack: Attack) -> None:
    phase = attack.dice.choice(list(PHASES))
    point, spec = PHASES[phase]
    job = attack.job(spec)
    armed = attack.arm(point, "delay", job, nth=attack.dice.randint(1, 3), seconds=HELD_SECONDS)
    if attack.until(lambda: armed.fired or job.over, 15):
        verb = attack.dice.choice(VERBS)
        attack.say(f"{verb} in {phase}")
        attack.ask(job, verb)
        let_go_on(attack, job)


@fault("F31.replay", "a request landing in a replay", spec="replayed", weight=3)
def request_in_a_replay(attack: Attack) -> None:
    job = attack.job()
    attack.arm("tick", "kill", job, at=attack.dice.randint(600, 1100))
    armed = attack.arm("replay", "delay", job, seconds=HELD_SECONDS)
    if attack.until(lambda: armed.fired or job.over, 20):
        attack.ask(job, attack.dice.choice(VERBS))
        let_go_on(attack, job)


@fault("F31.signal", "SIGTERM, SIGQUIT or SIGKILL landing in a phase", weight=6)
def signal_in_a_phase(attack: Attack) -> None:
    phase = attack.dice.choice([*PHASES, "a load"])
    point, spec = PHASES.get(phase, ("load", "dropout"))
    job = attack.job(spec)
    if phase == "a load":
        attack.arm("tick", "kill", job, at=attack.dice.randint(300, 1400))
    actions: list[Action] = ["term", "quit", "kill"]
    action = attack.dice.choice(actions)
    attack.arm(point, action, job, nth=attack.dice.randint(1, 3))


@fault("F31.template", "signals landing in a template's start", weight=0.15)
def signal_in_a_templates_start(attack: Attack) -> None:
    actions: list[Action] = ["term", "kill", "segv"]
    attack.arm("template:start", attack.dice.choice(actions))
    attack.house.marked.kill("template")
    attack.strike("killed the templates")
    attack.job("replayed")


def let_go_on(attack: Attack, job: Trained) -> None:
    """Resume what was paused, so that the round comes to its end."""

    def resumed() -> bool:
        if job.over:
            return True
        if job.seen.job.get("status") == "paused":
            return attack.ask(job, "resume")
        return job.seen.job.get("requested") is None and job.seen.job.get("status") == "running"

    attack.until(resumed, 6)
