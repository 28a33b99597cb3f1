"""The ledger on a real store, driven by Hypothesis beside its model: all outcomes must be equal.

The scripts are the product's but for one number: a segment has 4 ticks, so that histories cross its
border all the time. Losses and states are functions of job and tick, as an exact training's are.
Clocks are injected: a lease is over when a step says so. Not modelled: fingerprints, summary rows.
"""

import json
import struct
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

import redis
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jobs.job import Lease
from jobs.ledger.client import JobLedger
from jobs.ledger.owner import LeaseLedger
from jobs.spec.conditions import MetCondition
from jobs.store import keys
from tests import ledger_store
from tests.edited_scripts import EditedScripts, Edits
from tests.ledger_helpers import make_checkpoint
from tests.ledger_model import World
from tests.ledger_outcomes import Call, call_outcome
from tests.ledger_owners import SEGMENT_TICKS, ClaimResult, HeldLease, segment_of
from tests.ledger_steps import NEEDS_A_LEASE, SPECS, TOTALS, expected_bits, steps

TENANT = "t"


class LedgerMachine(RuleBasedStateMachine):
    """Clients, owners, crashes, clocks and a store that forgets, beside the model (`world`)."""

    store: ClassVar["redis.Redis"]
    edits: ClassVar[Edits] = ()
    outcome_counts: ClassVar[Counter[str]] = Counter()  # answers of every kind, over all runs

    def __init__(self) -> None:
        super().__init__()
        self.store.flushall()
        self.ledger = JobLedger(self.store)
        self.lease_ledger = LeaseLedger(self.store, lease_seconds=3600)
        segment = ("SEGMENT = 1048576", f"SEGMENT = {SEGMENT_TICKS}")
        scripts = EditedScripts(self.store, [segment, *self.edits])
        self.ledger._scripts = self.lease_ledger._scripts = scripts
        self.world = World()
        self.ids: dict[int, str] = {}  # by number
        self.leases: list[HeldLease] = []  # all that an owner may still use
        self.nonces = 0
        self.shown: dict[str, dict[int, int]] = {}  # id -> every tick that was ever accepted
        self.previous: dict[str, ledger_store.JobRecord] = {}
        self.rollback_point: tuple[World, ledger_store.StoreDump] | None = None

    # Both sides, and what they answer.

    def compare_call(self, name: str, ledger: Callable[[], Any], model: Callable[[], Any]) -> Any:
        """Make a call on the model and on the ledger; results and errors must be equal."""
        expected, actual = call_outcome(model), call_outcome(ledger)
        assert actual == expected, f"{name}: answered {actual}, promised {expected}"
        self.outcome_counts[f"{name} {expected[0]}"] += 1
        return expected[1] if expected[0] == "ok" else None

    def pick_job(self, at: int) -> int:
        """Return a job's number, the newest first, deleted ones too; mostly one with an owner."""
        if at % 3 and self.leases:
            return self.leases[-1 - at // 3 % len(self.leases)].number
        return self.world.submissions - at // 3 % self.world.submissions

    def pick_lease(self, at: int) -> HeldLease:
        """Return a lease that an owner may still use, the newest first; mostly a valid one."""
        holding = [held for held in self.leases if self.world.is_holder(held)]
        candidates = holding if holding and at % 3 else self.leases
        return candidates[-1 - at // 3 % len(candidates)]

    def as_lease(self, held: HeldLease) -> Lease:
        return Lease(TENANT, self.ids[held.number], held.term, held.nonce)

    @rule(step=steps())
    def step(self, step: tuple[str, dict[str, Any]]) -> None:
        name, arguments = step
        if self.leases or name not in NEEDS_A_LEASE:
            getattr(self, name)(**arguments)

    # What clients do.

    @initialize()
    def begin(self) -> None:
        self.submit(5, "ticks", None, "a", twice=False)
        self.claim("a", reply_lost=False)

    def submit(self, priority: int, budget: str, key: str | None, body: str, twice: bool) -> None:
        def ledger() -> int:
            result = self.ledger.submit(
                TENANT, SPECS[budget, priority], idempotency_key=key, body_digest=body
            )
            if result.is_new:
                self.ids[self.world.submissions] = result.job_id
            return next(number for number, job_id in self.ids.items() if job_id == result.job_id)

        size = len(json.dumps(SPECS[budget, priority].to_stored()))
        for _ in range(2 if twice and key else 1):
            self.compare_call(
                "submit",
                ledger,
                lambda: self.world.submit(priority, TOTALS[budget], key, body, size),
            )

    def set_quota(self, running: int | None) -> None:
        """Limit the running jobs of the tenant; what runs goes on."""
        is_unset = running is None
        changes = {"set": {} if is_unset else {"running": running}, "unset": ["running"] * is_unset}
        self.ledger._scripts.call("patch_tenant", {"tenant": TENANT, **changes})
        self.world.running_quota = running

    def request(self, at: int, what: Any) -> None:
        """Send a client's request for any job, deleted ones too."""
        number = self.pick_job(at)
        name = TENANT, self.ids[number]

        def delete() -> None:
            self.ledger.delete(*name)

        calls: dict[str, Call] = {
            "delete": (delete, lambda: self.world.delete(number)),
            "patch": (
                lambda: self.ledger.patch(*name, priority=at - 1),
                lambda: self.world.patch(number, at - 1),
            ),
        }
        verb = (
            lambda: self.ledger.request_transition(*name, what),
            lambda: self.world.request_transition(number, what),
        )
        self.compare_call(what, *calls.get(what, verb))

    # What owners do: the one who holds a job, and those who only think so.

    def train(self, at: int, upto: int, moves: bool) -> None:
        """An owner's normal work: append ticks in order, move full segments into files."""
        held = self.pick_lease(at)
        if not self.world.is_holder(held):
            return self.claim("a", reply_lost=False)
        while (tick := self._tick(held)) < upto:
            border = segment_of(tick + 1) * SEGMENT_TICKS + SEGMENT_TICKS
            last = min(border, upto)
            state = {last: expected_bits(self.ids[held.number], "state", last)}
            self._append(held, tick + 1, self._losses(held, tick + 1, last), state)
        job = self.world.jobs[held.number]
        while moves and job.tick > (job.segments_in_files + 1) * SEGMENT_TICKS:
            self._move(held, job.segments_in_files, shown=True)
        return None

    def _losses(self, held: HeldLease, first: int, last: int) -> list[int]:
        return [
            expected_bits(self.ids[held.number], "loss", tick) for tick in range(first, last + 1)
        ]

    def claim(self, worker: str, reply_lost: bool) -> None:
        self.nonces += 1
        for _ in range(1 + reply_lost):
            self._claim(worker, f"n{self.nonces}")

    def claim_late(self, worker: str, at: int) -> None:
        """Send an old claim again, after other calls."""
        self._claim(worker, self.pick_lease(at).nonce)

    def _claim(self, worker: str, nonce: str) -> None:
        def ledger() -> ClaimResult | None:
            claim = self.lease_ledger.claim(
                "cpu", worker=worker, device="cpu", canaries={}, nonce=nonce
            )
            if claim is None:
                return None
            number = next(n for n, item in self.ids.items() if item == claim.lease.job_id)
            held = HeldLease(number, claim.lease.term, claim.lease.nonce)
            checkpoint_ticks = [item.tick for item in claim.checkpoints]
            return ClaimResult(held, claim.tick, claim.attempt, claim.requested, checkpoint_ticks)

        claimed = self.compare_call("claim", ledger, lambda: self.world.claim(nonce))
        self.outcome_counts[f"claim {'nothing' if claimed is None else 'a job'}"] += 1
        if claimed is not None and claimed.held not in self.leases:
            self.leases.append(claimed.held)

    def append(
        self, at: int, back: int, count: int, wrong: Any, digest: int | None, twice: bool
    ) -> None:
        """Append ticks from some way back or beyond a gap; recorded ones may have a wrong bit."""
        held = self.pick_lease(at)
        tick = self._tick(held)
        first = max(1, tick + 1 - back)
        count = min(count, segment_of(first) * SEGMENT_TICKS + SEGMENT_TICKS + 1 - first)
        losses = self._losses(held, first, first + count - 1)
        if isinstance(wrong, int) and wrong < count and first + wrong <= tick:
            losses[wrong] ^= 1
        states = {}
        if digest is not None and (stated := first + count - 1 + digest) > 0:
            states[stated] = expected_bits(self.ids[held.number], "state", stated)
            states[stated] ^= wrong == "state" and stated <= tick
        for _ in range(1 + twice):
            self._append(held, first, losses, states)

    def _append(
        self, held: HeldLease, first: int, losses: list[int], states: dict[int, int]
    ) -> None:
        column = struct.pack(f"<{len(losses)}I", *losses)
        points = b"".join(struct.pack("<QQ", *point) for point in states.items())
        last = first + len(losses) - 1
        # an owner that does not know what others told sends it again, with a later tick
        met = [MetCondition(f"loss<{tick}", tick, 0.5) for tick in (2, 5) if first <= tick <= last]
        met += [MetCondition("loss>0", last, 1.0)] * bool(losses)

        is_skipped = last % 3 == 0

        def ledger() -> tuple[int, str | None, bool]:
            appended = self.lease_ledger.append_ticks(
                self.as_lease(held), first, len(losses), {"loss": column}, {}, 0,
                {"state": points} if states else {}, met, skipped="1" if is_skipped else None,
            )  # fmt: skip
            return appended.tick, appended.requested, appended.segment_in_files

        accepted = self.compare_call(
            "append",
            ledger,
            lambda: self.world.append_ticks(
                held, first, losses, states, [one[:2] for one in met], is_skipped
            ),
        )
        self.outcome_counts["append into files"] += bool(accepted and accepted[2])

    def _tick(self, held: HeldLease) -> int:
        job = self.world.jobs.get(held.number)
        return 0 if job is None else job.tick

    def renew(self, at: int) -> None:
        held = self.pick_lease(at)
        lease = self.as_lease(held)
        self.compare_call(
            "renew", lambda: self.lease_ledger.renew(lease), lambda: self.world.renew(held)
        )

    def commit(self, at: int, back: int, size: int, dropped: int) -> None:
        """Commit a checkpoint of the newest, an earlier or an unaccepted tick; drop old ones."""
        held = self.pick_lease(at)
        tick = max(0, self._tick(held) - back)
        job = self.world.jobs.get(held.number)
        drop = sorted(job.checkpoints)[:dropped] if job else []
        new_checkpoint = make_checkpoint(tick, bytes=size)
        self.compare_call(
            "commit",
            lambda: self.lease_ledger.commit_checkpoint(self.as_lease(held), new_checkpoint, drop),
            lambda: self.world.commit(held, tick, size, drop),
        )

    def finish(self, at: int, off: int, ending: tuple[Any, Any, Any], twice: bool) -> None:
        held, (status, stopped_by, reason) = self.pick_lease(at), ending
        tick = self._tick(held) + off
        for _ in range(1 + twice):
            self.compare_call(
                f"finish {status}",
                lambda: self.lease_ledger.finish(
                    self.as_lease(held), status, tick, stopped_by=stopped_by, reason=reason
                ),
                lambda: self.world.finish(held, status, tick, stopped_by, reason),
            )

    def move_segment(self, at: int, ahead: int, shown: bool) -> None:
        """Move a segment as the owner, or without a lease, which only an ended job allows."""
        held = self.pick_lease(at)
        job = self.world.jobs.get(held.number)
        segment = max(0, (job.segments_in_files if job else 0) + ahead)
        if job is None or not job.is_terminal or segment <= segment_of(job.tick):
            self._move(held, segment, shown)

    def _move(self, held: HeldLease, segment: int, shown: bool) -> None:
        lease = self.as_lease(held) if shown else None
        job_id = self.ids[held.number]
        digests = {f"loss-{segment:02}.f32": "d"}
        self.compare_call(
            "move",
            lambda: self.ledger.move_segment(TENANT, job_id, segment, digests, 1, lease),
            lambda: self.world.move_segment(held.number, segment, held if shown else None),
        )

    # What happens to them.

    def lease_runs_out(self, at: int) -> None:
        """Let a lease's time pass."""
        number = self.pick_job(at)
        job = self.world.jobs.get(number)
        if job is not None and job.status == "running":
            self.world.expire_lease(number)
            self.store.zadd(
                keys.leases("cpu"), {f"{TENANT}/{self.ids[number]}": job.expiry_order or 0}
            )

    def crash(self, at: int) -> None:
        """Let an owner die: its lease is never used again."""
        self.leases.remove(self.pick_lease(at))

    def reconcile(self, at: int, wakeups: bool) -> None:
        """Wake-ups are due for queued jobs, or an ended job is finalized."""
        number = self.pick_job(at)
        self.store.delete(keys.wake_cooldown("cpu"))
        if wakeups:
            self.compare_call(
                "due",
                lambda: self.ledger.take_due_wakeups(10).get("cpu", 0),
                self.world.wakeups_due,
            )
        else:
            self.compare_call("seal", lambda: self.ledger.mark_finalized(TENANT, self.ids[number]),
                      lambda: self.world.mark_finalized(number))  # fmt: skip

    def mark(self) -> None:
        """Remember the store's content as the point that a rollback returns to."""
        self.store.delete(keys.wake_cooldown("cpu"))  # nothing that lives by a clock
        self.rollback_point = deepcopy(self.world), ledger_store.dump_store(self.store)

    def roll_back(self) -> None:
        """Restore the remembered content: the store has lost its last second unnoticed."""
        if self.rollback_point is None:
            return
        submissions, (self.world, dumped) = self.world.submissions, self.rollback_point
        self.world.submissions = submissions  # a number names one job, also a lost one
        self.rollback_point, self.previous = None, {}
        ledger_store.restore_store(self.store, dumped)
        lost = [held for held in self.leases if held.nonce not in self.world.claims]
        self.outcome_counts["a lease that the store has forgotten"] += len(lost)

    @invariant()
    def check_store(self) -> None:
        """The store equals the model, and every tick that was ever accepted still has its bits."""
        content = ledger_store.read_store(self.store)
        ledger_store.check_equals_model(content, self.world, self.ids, TENANT)
        now = ledger_store.read_records(content)
        ledger_store.check_transitions(self.previous, now)
        ledger_store.check_shown(self.shown, now)
        self.previous = now
