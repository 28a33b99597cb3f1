"""Requests of clients at the worst moment: between any two scripts, and in every phase."""

import secrets

from faults.attack import Attack, JobUnderTest
from faults.catalogue.entries import fault
from faults.catalogue.service import RESTART_SECONDS
from faults.specs import make_body
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
DELAY_SECONDS = 0.5


@fault("F12.recorded", "the API killed between the record and the wake-up", weight=1)
def kill_after_record(attack: Attack) -> None:
    _kill_in_submission(attack, "api:recorded")


@fault("F12.answered", "the API killed before its answer", weight=1)
def kill_before_answer(attack: Attack) -> None:
    _kill_in_submission(attack, "api:answered")


def _kill_in_submission(attack: Attack, point: str) -> None:
    """Kill the API in a submission: one Idempotency-Key gives one job, however often it is sent."""
    watcher, idempotency_key = attack.context.watcher, secrets.token_hex(8)
    headers = {"Idempotency-Key": idempotency_key}
    attack.context.answer_timeout = RESTART_SECONDS
    submission = {**make_body("replayed"), "labels": {"once": idempotency_key}}
    armed = attack.arm(point, "kill")
    ids = set()
    for _ in range(20):
        response = watcher.request("POST", "/v1/jobs", json=submission, headers=headers)
        if response is not None and response.status_code == 202:
            ids.add(response.json()["id"])
            if armed.has_fired:
                break
        attack.sleep(0.1, 0.3)
    for job_id in ids:
        attack.context.add(job_id, "replayed")

    def check_one_job() -> str | None:
        page = watcher.request("GET", f"/v1/jobs?label=once:{idempotency_key}")
        job_ids = {job["id"] for job in page.json()["data"]} if page is not None else set()
        return None if job_ids == ids and len(ids) == 1 else f"one key made {job_ids}, got {ids}"

    attack.add_check(check_one_job)


@fault("F23", "requests between any two scripts of a job's owner", weight=4)
def request_between_scripts(attack: Attack) -> None:
    job = attack.new_job("momentum")
    when = attack.rng.choice(["before", "after"])
    point = f"store:{attack.rng.choice(SCRIPTS)}:{when}"
    armed = attack.arm(point, "delay", job, seconds=DELAY_SECONDS)
    if not attack.wait_for(lambda: armed.has_fired or job.is_over, 15):
        return
    for verb in attack.rng.sample(["pause", "resume", "pause", "cancel", "stop"], 3):
        attack.request(job, verb)
        attack.sleep(0.0, 0.2)
    resume_if_paused(attack, job)


@fault("F31.request", "a request landing in a build, a validation, a save, a move", weight=5)
def request_in_a_phase(attack: Attack) -> None:
    phase = attack.rng.choice(list(PHASES))
    point, spec = PHASES[phase]
    job = attack.new_job(spec)
    armed = attack.arm(point, "delay", job, nth=attack.rng.randint(1, 3), seconds=DELAY_SECONDS)
    if attack.wait_for(lambda: armed.has_fired or job.is_over, 15):
        verb = attack.rng.choice(VERBS)
        attack.log(f"{verb} in {phase}")
        attack.request(job, verb)
        resume_if_paused(attack, job)


@fault("F31.replay", "a request landing in a replay", spec="replayed", weight=3)
def request_in_a_replay(attack: Attack) -> None:
    job = attack.new_job()
    attack.arm("tick", "kill", job, at=attack.rng.randint(600, 1100))
    armed = attack.arm("replay", "delay", job, seconds=DELAY_SECONDS)
    if attack.wait_for(lambda: armed.has_fired or job.is_over, 20):
        attack.request(job, attack.rng.choice(VERBS))
        resume_if_paused(attack, job)


@fault("F31.signal", "SIGTERM, SIGQUIT or SIGKILL landing in a phase", weight=6)
def signal_in_a_phase(attack: Attack) -> None:
    phase = attack.rng.choice([*PHASES, "a load"])
    point, spec = PHASES.get(phase, ("load", "dropout"))
    job = attack.new_job(spec)
    if phase == "a load":
        attack.arm("tick", "kill", job, at=attack.rng.randint(300, 1400))
    actions: list[Action] = ["term", "quit", "kill"]
    attack.arm(point, attack.rng.choice(actions), job, nth=attack.rng.randint(1, 3))


@fault("F31.template", "signals landing in a fork server's start", weight=0.15)
def signal_in_fork_server_start(attack: Attack) -> None:
    actions: list[Action] = ["term", "kill", "segv"]
    attack.arm("template:start", attack.rng.choice(actions))
    attack.service.processes.kill("template")
    attack.record_fault("killed the fork servers")
    attack.new_job("replayed")


def resume_if_paused(attack: Attack, job: JobUnderTest) -> None:
    """Resume a paused job, so that the round can end."""

    def is_resumed() -> bool:
        if job.is_over:
            return True
        if job.observed.job.get("status") == "paused":
            return attack.request(job, "resume")
        state = job.observed.job
        return state.get("requested") is None and state.get("status") == "running"

    attack.wait_for(is_resumed, 6)
