"""The steps of the ledger's machine: how often each is drawn, and from which values."""

import zlib
from typing import Any

from hypothesis import strategies as st

from tests.ledger_helpers import make_job_spec
from tests.ledger_owners import SEGMENT_TICKS, VERBS

TOTALS = {"ticks": 10, "seconds": None}
SPECS = {
    (budget, priority): make_job_spec(
        name="n",
        budget={"ticks": 10} if budget == "ticks" else {"seconds": 60},
        priority=priority,
    )
    for budget in TOTALS
    for priority in (-1, 0, 5)
}
DELETIONS = ("delete", "delete", "delete")  # most of them are of live jobs
INDEXES = st.integers(0, 9)
FLAGS = st.booleans()
ENDINGS = [
    ("succeeded", "budget", None), ("succeeded", "user", None), ("failed", None, None),
    ("cancelled", None, None), ("paused", None, None), ("queued", None, "drain"),
    ("queued", None, "trouble"),
]  # fmt: skip
#: what may happen at each step, how often among twenty-odd, and what is drawn for it
STEPS: dict[str, tuple[int, dict[str, Any]]] = {
    "submit": (1, {
        "priority": st.sampled_from([-1, 0, 5]), "budget": st.sampled_from(list(TOTALS)),
        "key": st.sampled_from([None, None, "k", "l"]), "body": st.sampled_from("ab"),
        "twice": FLAGS,
    }),
    "request": (3, {"at": INDEXES, "what": st.sampled_from([*VERBS, *VERBS, *DELETIONS, "patch"])}),
    "set_quota": (1, {"running": st.sampled_from([None, None, None, 2, 1, 0])}),
    "claim": (2, {"worker": st.sampled_from("abc"), "reply_lost": FLAGS}),
    "claim_late": (1, {"worker": st.sampled_from("abc"), "at": INDEXES}),
    "train": (4, {"at": INDEXES, "upto": st.integers(1, 12), "moves": st.booleans()}),
    "append": (3, {
        "at": INDEXES, "back": st.integers(-1, 6), "count": st.integers(0, SEGMENT_TICKS),
        "wrong": st.sampled_from([None, 0, 1, "state"]), "digest": st.sampled_from([None, 0, 0, 1]),
        "twice": FLAGS,
    }),
    "renew": (1, {"at": INDEXES}),
    "commit": (2, {
        "at": INDEXES, "back": st.integers(-1, 3), "size": st.integers(1, 9),
        "dropped": st.integers(0, 2),
    }),
    "finish": (2, {
        "at": INDEXES, "off": st.sampled_from([0, 0, 0, 1, -1]), "ending": st.sampled_from(ENDINGS),
        "twice": FLAGS,
    }),
    "move_segment": (1, {
        "at": INDEXES, "ahead": st.sampled_from([0, 0, 0, 1, -1]), "shown": st.booleans(),
    }),
    "lease_runs_out": (2, {"at": INDEXES}),
    "crash": (1, {"at": INDEXES}),
    "reconcile": (1, {"at": INDEXES, "wakeups": st.booleans()}),
    "mark": (1, {}),
    "roll_back": (1, {}),
}  # fmt: skip
NEEDS_A_LEASE = {
    "claim_late", "train", "append", "renew", "commit", "finish", "move_segment", "crash"
}  # fmt: skip


def steps() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Draw a step. One strategy, not a rule each: Hypothesis would leave half of the rules out."""
    choices = []
    for name, (weight, strategies) in STEPS.items():
        choices += [st.tuples(st.just(name), st.fixed_dictionaries(strategies))] * weight
    return st.sampled_from(choices).flatmap(lambda strategy: strategy)


def expected_bits(job_id: str, quantity: str, tick: int) -> int:
    """Return the bits that an exact training gives for a tick, whichever owner runs it."""
    return zlib.crc32(f"{job_id} {quantity} {tick}".encode())
