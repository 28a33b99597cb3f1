"""The ledger keeps its promises in every order of calls, crashes and losses that a machine finds.

`make model` looks for longer, and elsewhere each time.
"""

import os
from collections import Counter
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.edited_scripts import Edits
from tests.ledger_machine import LedgerMachine

EXAMPLES = int(os.environ.get("TICKFORGE_MODEL_EXAMPLES", "0"))  # 0: a few, the same each time
DEFAULT_EXAMPLES = 40
RUN_SETTINGS = settings(
    max_examples=EXAMPLES or DEFAULT_EXAMPLES,
    derandomize=not EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a failure is not shrunk: it has sixty steps at most
    suppress_health_check=list(HealthCheck),
)

#: outcomes that a run must have met, or it has looked at too little
EXPECTED_OUTCOMES = {
    "append ok", "append LeaseLost", "append TickGap", "append TickMismatch", "append into files",
    "claim a job", "claim nothing", "commit ok", "commit NotAccepted", "commit LeaseLost",
    "renew ok", "renew LeaseLost", "finish succeeded ok", "finish succeeded WrongFinalTick",
    "finish queued ok", "finish paused ok", "finish failed LeaseLost", "move ok",
    "move NotAccepted", "move LeaseLost", "seal ok", "seal NotAccepted", "delete ok",
    "delete NotTerminal", "delete NoSuchJob", "cancel ok", "stop ok", "stop IllegalTransition",
    "pause ok", "resume ok", "due ok", "submit ok", "submit IdempotencyMismatch",
    "a lease that the store has forgotten",
}  # fmt: skip

#: scripts that each break one promise, which the machine must see; more of them: `make mutants`
BROKEN_SCRIPTS = {
    "no fence": (
        "if j[1] == 'running' and h.term and j[2] == int(h.term) and j[3] == h.nonce then",
        "if j[1] == 'running' then",
    ),
    "recorded losses are not compared": ("if recorded ~= offered then\n", "if false then\n"),
    "a gap is let in": ("if first > tick + 1 then", "if false then"),
    "a claim is not repeated": ("if claimed then", "if false then"),
    "a checkpoint before its tick": ("if h.tick > tonumber(tick) then", "if false then"),
    "deaths are not counted": ("redis.call('HINCRBY', job, 'deaths', 1)", ""),
    "the quota of running jobs is not held": (
        "if must_wait(tenant_of(member)) then has_waiting = true",
        "if false then has_waiting = true",
    ),
    "a deleted job's spec still counts": (
        "add_job_usage(member, 'spec_bytes', -redis.call('HSTRLEN', job, 'spec'))\n",
        "\n",
    ),
    "leases hold for ever": (
        "keys.leases(h.queue), '-inf', int(now),",
        "keys.leases(h.queue), '-inf', '-1',",
    ),
}


def machine(store: "redis.Redis", edits: Edits = ()) -> Any:
    return type(
        "Machine", (LedgerMachine,), {"store": store, "edits": edits, "outcome_counts": Counter()}
    )


def test_the_ledger_does_what_the_model_does(store: "redis.Redis") -> None:
    kind = machine(store)
    run_state_machine_as_test(kind, settings=RUN_SETTINGS)
    if RUN_SETTINGS.max_examples >= DEFAULT_EXAMPLES:
        assert {
            outcome for outcome in EXPECTED_OUTCOMES if not kind.outcome_counts[outcome]
        } == set()


@pytest.mark.parametrize("broken", BROKEN_SCRIPTS)
def test_the_machine_sees_a_broken_promise(store: "redis.Redis", broken: str) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine(store, [BROKEN_SCRIPTS[broken]]), settings=RUN_SETTINGS)
