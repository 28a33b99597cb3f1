"""A service in use for a while: clients, kills and samples at once; then every invariant."""

import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

from faults import invariants
from faults.attack import RoundContext
from faults.campaign import Campaign
from faults.round_checker import RoundChecker, load_factor
from faults.service_under_test import COMPLETE_SERVICE
from faults.soak.clients import DatasetClient, JobClient, SoakClient, StreamClient, Tally
from faults.soak.kills import WorkerKiller
from faults.soak.leftovers import Inventory, check_inventory, check_zombies, take_inventory
from faults.soak.samples import Sampler, check_growth

JOB_CLIENTS, STREAM_CLIENTS, DATASET_CLIENTS = 4, 2, 1
REPORT_SECONDS = 60.0
#: a long poll holds its answer back for as long as it was asked to
MAX_ANSWER_SECONDS = invariants.MAX_ANSWER_SECONDS + 2.0


class Soak:
    """One soak of a campaign's service; `tally` has the counts and the violations afterwards."""

    def __init__(self, campaign: Campaign, seed: int) -> None:
        self.tally, self.seed = Tally(), seed
        self._campaign, self._service = campaign, campaign.service
        self._checker = RoundChecker(campaign.service, campaign.watcher, campaign.references)
        self._context = RoundContext(campaign.service, campaign.watcher)
        self.sampler = Sampler(campaign.service.processes)
        self.seconds = 0.0

    def run(self, seconds: float, report: Callable[[str], None] = lambda _line: None) -> None:
        """Use the service for so long, let all jobs end, and check what is left."""
        began = time.monotonic()
        before = take_inventory(self._service)
        clients = self._make_clients()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.sampler)
            for client in clients:
                stack.enter_context(client)
            while (elapsed := time.monotonic() - began) < seconds:
                time.sleep(min(REPORT_SECONDS, seconds - elapsed))
                self._check_responses()
                report(self.describe(time.monotonic() - began))
            for client in clients:
                client.stop()
        self._check_responses()
        self.tally.violations += self._campaign.check_recovered()
        self.sampler.sample()
        deleted_jobs = sum(n for what, n in self.tally.counts.items() if what.startswith("jobs "))
        self.tally.violations += check_growth(self.sampler.long_lived(), deleted_jobs)
        self.tally.violations += self._check_leftovers(before)
        self.seconds = time.monotonic() - began

    def describe(self, seconds: float) -> str:
        """Return a line on what has happened so far."""
        counts = ", ".join(f"{what} {n}" for what, n in sorted(self.tally.counts.items()))
        return f"{seconds / 60:5.1f} min  {counts}; {len(self.tally.violations)} violations"

    def as_json(self) -> dict[str, Any]:
        """Return everything that a report needs."""
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "counts": dict(sorted(self.tally.counts.items())),
            "violations": [violation._asdict() for violation in self.tally.violations],
            "story": self._context.story,
            "processes": [history.as_json() for history in self.sampler.long_lived()],
        }

    def _make_clients(self) -> list[SoakClient]:
        rng = random.Random(self.seed)
        context, tally = self._context, self.tally
        return [
            *(
                JobClient(f"jobs {n}", context, tally, rng.getrandbits(32), self._checker)
                for n in range(JOB_CLIENTS)
            ),
            *(
                StreamClient(f"streams {n}", context, tally, rng.getrandbits(32))
                for n in range(STREAM_CLIENTS)
            ),
            *(
                DatasetClient(f"datasets {n}", context, tally, rng.getrandbits(32))
                for n in range(DATASET_CLIENTS)
            ),
            WorkerKiller("kills", context, tally, rng.getrandbits(32)),
        ]

    def _check_responses(self) -> None:
        responses = self._campaign.watcher.take_responses()
        self.tally.counts["requests"] += len(responses)
        max_seconds = MAX_ANSWER_SECONDS * load_factor()
        self.tally.violations += invariants.check_responses(responses, max_seconds)

    def _check_leftovers(self, before: Inventory) -> list[invariants.Violation]:
        """Check I6 and I7 of the service at rest."""
        counts = self._service.count_by_role()
        return [
            *invariants.check_nothing_left(counts, COMPLETE_SERVICE, []),
            *self._checker.check_wakeups(self._context),
            *check_zombies(self._service),
            *check_inventory(before, take_inventory(self._service), len(self._context.jobs)),
        ]
