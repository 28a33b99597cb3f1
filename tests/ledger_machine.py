"""The ledger on a real store, driven by Hypothesis beside its model: every answer is the same one.

The scripts are the product's but for one number: a segment has 4 ticks, so that histories cross its
border all the time. Losses and states are functions of job and tick, as an exact training's are.
Clocks are injected: a lease is over when a rule says so. Not here: fingerprints, summary rows.
"""

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
from jobs.store import keys
from tests import ledger_store
from tests.edited_scripts import EditedScripts, Edits
from tests.ledger_answers import Call, answer
from tests.ledger_model import World
from tests.ledger_owners import SEGMENT, Held, Stands, segment_of
from tests.ledger_steps import NEEDS_A_LEASE, SPECS, TOTALS, steps, truth
from tests.owner import checkpoint

TENANT = "t"


class LedgerMachine(RuleBasedStateMachine):
    """Clients, owners, crashes, clocks and a store that forgets; the world says what must come."""

    store: ClassVar["redis.Redis"]
    edits: ClassVar[Edits] = ()
    met: ClassVar[Counter[str]] = Counter()  # answers of every kind, over all runs

    def __init__(self) -> None:
        super().__init__()
        self.store.flushall()
        self.ledger = JobLedger(self.store)
        self.lease_ledger = LeaseLedger(self.store, lease_seconds=3600)
        segment = ("SEGMENT = 1048576", f"SEGMENT = {SEGMENT}")
        scripts = EditedScripts(self.store, [segment, *self.edits])
        self.ledger._scripts = self.lease_ledger._scripts = scripts
        self.world = World()
        self.ids: dict[int, str] = {}  # by number
        self.leases: list[Held] = []  # all that somebody may still show
        self.nonces = 0
        self.shown: dict[str, dict[int, int]] = {}  # id -> every tick that was ever accepted
        self.before: dict[str, ledger_store.Record] = {}
        self.marked: tuple[World, ledger_store.Dumped] | None = None

    # Both sides, and what they answer.

    def both(self, name: str, ledger: Callable[[], Any], model: Callable[[], Any]) -> Any:
        """Do it in the world and in the store; the answers must be the same, refusals too."""
        expected, answered = answer(model), answer(ledger)
        assert answered == expected, f"{name}: answered {answered}, promised {expected}"
        self.met[f"{name} {expected[0]}"] += 1
        return expected[1] if expected[0] == "ok" else None

    def job(self, at: int) -> int:
        """A job's number, the newest first, also of a deleted one; mostly one that had an owner."""
        if at % 3 and self.leases:
            return self.leases[-1 - at // 3 % len(self.leases)].number
        return self.world.submissions - at // 3 % self.world.submissions

    def lease(self, at: int) -> Held:
        """A lease that somebody may still show, the newest first; two in three times one holds."""
        holding = [held for held in self.leases if self.world.holds(held)]
        among = holding if holding and at % 3 else self.leases
        return among[-1 - at // 3 % len(among)]

    def shown_as(self, held: Held) -> Lease:
        return Lease(TENANT, self.ids[held.number], held.term, held.nonce)

    @rule(step=steps())
    def step(self, step: tuple[str, dict[str, Any]]) -> None:
        name, drawn = step
        if self.leases or name not in NEEDS_A_LEASE:
            getattr(self, name)(**drawn)

    # What clients do.

    @initialize()
    def begin(self) -> None:
        self.submit(5, "ticks", None, "a", twice=False)
        self.claim("a", reply_lost=False)

    def submit(self, priority: int, budget: str, key: str | None, body: str, twice: bool) -> None:
        def ledger() -> int:
            made = self.ledger.submit(
                TENANT, SPECS[budget, priority], idempotency_key=key, body_digest=body
            )
            if made.is_new:
                self.ids[self.world.submissions] = made.job_id
            return next(number for number, each in self.ids.items() if each == made.job_id)

        for _ in range(2 if twice and key else 1):
            self.both("submit", ledger,
                      lambda: self.world.submit(priority, TOTALS[budget], key, body))  # fmt: skip

    def ask(self, at: int, what: Any) -> None:
        """Of any job, also one that is gone."""
        number = self.job(at)
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
            lambda: self.world.request(number, what),
        )
        self.both(what, *calls.get(what, verb))

    # What owners do: the one who holds a job, and those who only think so.

    def train(self, at: int, upto: int, moves: bool) -> None:
        """An owner's ordinary day: ticks in order, full segments into files."""
        held = self.lease(at)
        if not self.world.holds(held):
            return self.claim("a", reply_lost=False)
        while (tick := self._tick(held)) < upto:
            border = segment_of(tick + 1) * SEGMENT + SEGMENT
            last = min(border, upto)
            state = {last: truth(self.ids[held.number], "state", last)}
            self._append(held, tick + 1, self._losses(held, tick + 1, last), state)
        job = self.world.jobs[held.number]
        while moves and job.tick > (job.moved + 1) * SEGMENT:
            self._move(held, job.moved, shown=True)
        return None

    def _losses(self, held: Held, first: int, last: int) -> list[int]:
        return [truth(self.ids[held.number], "loss", tick) for tick in range(first, last + 1)]

    def claim(self, worker: str, reply_lost: bool) -> None:
        self.nonces += 1
        for _ in range(1 + reply_lost):
            self._claim(worker, f"n{self.nonces}")

    def claim_late(self, worker: str, at: int) -> None:
        """A claim is sent again when much else has happened."""
        self._claim(worker, self.lease(at).nonce)

    def _claim(self, worker: str, nonce: str) -> None:
        def ledger() -> Stands | None:
            claim = self.lease_ledger.claim(
                "cpu", worker=worker, device="cpu", canaries={}, nonce=nonce
            )
            if claim is None:
                return None
            number = next(n for n, each in self.ids.items() if each == claim.lease.job_id)
            held = Held(number, claim.lease.term, claim.lease.nonce)
            kept = [each.tick for each in claim.checkpoints]
            return Stands(held, claim.tick, claim.attempt, claim.requested, kept)

        stands = self.both("claim", ledger, lambda: self.world.claim(nonce))
        self.met[f"claim {'nothing' if stands is None else 'a job'}"] += 1
        if stands is not None and stands.held not in self.leases:
            self.leases.append(stands.held)

    def append(
        self, at: int, back: int, count: int, wrong: Any, digest: int | None, twice: bool
    ) -> None:
        """Ticks from some way back, or beyond a gap; recorded ones with a wrong bit or without."""
        held = self.lease(at)
        tick = self._tick(held)
        first = max(1, tick + 1 - back)
        count = min(count, segment_of(first) * SEGMENT + SEGMENT + 1 - first)
        losses = self._losses(held, first, first + count - 1)
        if isinstance(wrong, int) and wrong < count and first + wrong <= tick:
            losses[wrong] ^= 1
        states = {}
        if digest is not None and (stated := first + count - 1 + digest) > 0:
            states[stated] = truth(self.ids[held.number], "state", stated)
            states[stated] ^= wrong == "state" and stated <= tick
        for _ in range(1 + twice):
            self._append(held, first, losses, states)

    def _append(self, held: Held, first: int, losses: list[int], states: dict[int, int]) -> None:
        column = struct.pack(f"<{len(losses)}I", *losses)
        points = b"".join(struct.pack("<QQ", *point) for point in states.items())

        def ledger() -> tuple[int, str | None, bool]:
            appended = self.lease_ledger.append_ticks(
                self.shown_as(held), first, len(losses), {"loss": column}, {}, 0,
                {"state": points} if states else {},
            )  # fmt: skip
            return appended.tick, appended.requested, appended.segment_in_files

        accepted = self.both(
            "append", ledger, lambda: self.world.append(held, first, losses, states)
        )
        self.met["append into files"] += bool(accepted and accepted[2])

    def _tick(self, held: Held) -> int:
        job = self.world.jobs.get(held.number)
        return 0 if job is None else job.tick

    def renew(self, at: int) -> None:
        held = self.lease(at)
        lease = self.shown_as(held)
        self.both("renew", lambda: self.lease_ledger.renew(lease), lambda: self.world.renew(held))

    def commit(self, at: int, back: int, size: int, dropped: int) -> None:
        """A checkpoint of now, of before, or of a tick that is not accepted; old ones go."""
        held = self.lease(at)
        tick = max(0, self._tick(held) - back)
        job = self.world.jobs.get(held.number)
        drop = sorted(job.checkpoints)[:dropped] if job else []
        made = checkpoint(tick, bytes=size)
        self.both(
            "commit", lambda: self.lease_ledger.commit_checkpoint(self.shown_as(held), made, drop),
            lambda: self.world.commit(held, tick, size, drop),
        )  # fmt: skip

    def finish(self, at: int, off: int, ending: tuple[Any, Any, Any], twice: bool) -> None:
        held, (status, stopped_by, reason) = self.lease(at), ending
        tick = self._tick(held) + off
        for _ in range(1 + twice):
            self.both(
                f"finish {status}",
                lambda: self.lease_ledger.release(
                    self.shown_as(held), status, tick, stopped_by=stopped_by, reason=reason
                ),
                lambda: self.world.finish(held, status, tick, stopped_by, reason),
            )

    def move_segment(self, at: int, ahead: int, shown: bool) -> None:
        """By an owner; or by anybody, which only an ended job allows."""
        held = self.lease(at)
        job = self.world.jobs.get(held.number)
        segment = max(0, (job.moved if job else 0) + ahead)
        if job is None or not job.ended or segment <= segment_of(job.tick):
            self._move(held, segment, shown)

    def _move(self, held: Held, segment: int, shown: bool) -> None:
        lease = self.shown_as(held) if shown else None
        job_id = self.ids[held.number]
        digests = {f"loss-{segment:02}.f32": "d"}
        self.both(
            "move",
            lambda: self.ledger.move_segment(TENANT, job_id, segment, digests, 1, lease),
            lambda: self.world.move_segment(held.number, segment, held if shown else None),
        )

    # What happens to them.

    def lease_runs_out(self, at: int) -> None:
        """Time passes. Nobody is told."""
        number = self.job(at)
        job = self.world.jobs.get(number)
        if job is not None and job.status == "running":
            self.world.runs_out(number)
            self.store.zadd(keys.leases("cpu"), {f"{TENANT}/{self.ids[number]}": job.ran_out or 0})

    def crash(self, at: int) -> None:
        """An owner dies and never shows its lease again."""
        self.leases.remove(self.lease(at))

    def reconcile(self, at: int, bells: bool) -> None:
        """Bells are rung for who waits, or an ended job is sealed."""
        number = self.job(at)
        self.store.delete(keys.wake_cooldown("cpu"))
        if bells:
            self.both("due", lambda: self.ledger.take_due_wakeups(10).get("cpu", 0), self.world.due)
        else:
            self.both("seal", lambda: self.ledger.mark_finalized(TENANT, self.ids[number]),
                      lambda: self.world.seal(number))  # fmt: skip

    def mark(self) -> None:
        """What the store holds now is all that a rollback will find."""
        self.store.delete(keys.wake_cooldown("cpu"))  # nothing that lives by a clock
        self.marked = deepcopy(self.world), ledger_store.dump(self.store)

    def roll_back(self) -> None:
        """The store has lost its last second. Owners know nothing of it and go on."""
        if self.marked is None:
            return
        submissions, (self.world, dumped) = self.world.submissions, self.marked
        self.world.submissions = submissions  # a number names one job, also a lost one
        self.marked, self.before = None, {}
        ledger_store.put_back(self.store, dumped)
        lost = [held for held in self.leases if held.nonce not in self.world.claims]
        self.met["a lease that the store has forgotten"] += len(lost)

    @invariant()
    def holds(self) -> None:
        """What the store holds is the world, and what anybody was ever shown is still so."""
        found = ledger_store.read(self.store)
        ledger_store.compare(found, self.world, self.ids, TENANT)
        now = ledger_store.records(found)
        ledger_store.check_moves(self.before, now)
        ledger_store.check_shown(self.shown, now)
        self.before = now
