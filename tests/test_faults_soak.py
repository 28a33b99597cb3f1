"""What a soak can see: growing memory and descriptors, and what a service leaves in its folders.

Its short form runs in tests/test_faults_catalogue.py, on the service that is attacked there.
"""

from faults.soak.leftovers import Inventory, check_inventory
from faults.soak.samples import (
    MAX_WARM_UP_SECONDS,
    SAMPLE_SECONDS,
    ProcessHistory,
    check_growth,
)


def history(role: str = "api", *, mib_per_hour: float = 0.0) -> ProcessHistory:
    """A process that fills its caches, then grows evenly but for a step of 200 KiB each minute."""
    times = [n * SAMPLE_SECONDS for n in range(round((3600 + MAX_WARM_UP_SECONDS) / 5) + 1)]
    filling = [40 * min(1.0, second / MAX_WARM_UP_SECONDS) for second in times]
    steps = [0.2 * (second // 60 % 2) + mib_per_hour * second / 3600 for second in times]
    mib = [full + step for full, step in zip(filling, steps, strict=True)]
    return ProcessHistory(1, role, times, mib, [20.0 + n % 3 for n in range(len(times))])


def test_a_process_that_grows_by_two_mib_an_hour_is_seen_and_one_that_only_warms_up_is_not() -> (
    None
):
    assert check_growth([history(), history("worker", mib_per_hour=0.5)], 0) == []
    [violation] = check_growth([history("worker", mib_per_hour=2.0)], 0)
    assert violation.invariant == "I7" and "worker 1 grew by 2.0 MiB in 1.00 h" in violation.what


def test_a_store_may_grow_by_a_tombstone_a_deleted_job_and_no_more() -> None:
    growing = history("store", mib_per_hour=2.4)

    assert check_growth([growing], deleted_jobs=3000) == []
    assert check_growth([growing], deleted_jobs=1000) != []


def test_descriptors_that_pile_up_are_seen() -> None:
    leaking = history()
    leaking.descriptors = [n / 100 for n in range(len(leaking.seconds))]

    [violation] = check_growth([leaking], 0)
    assert "descriptors more" in violation.what


def test_a_process_too_young_to_tell_is_not_counted() -> None:
    young = history(mib_per_hour=90.0)
    young.seconds = young.seconds[: round(12 * 60 / SAMPLE_SECONDS)]
    assert not young.has_lived
    assert not history("trainer", mib_per_hour=90.0).has_lived


def test_what_a_service_leaves_in_its_folders_is_seen() -> None:
    before = Inventory({"tickforge-worker": ["tickforge-worker-a"]}, [], 0)
    replaced = Inventory({"tickforge-worker": ["tickforge-worker-b"]}, [], 2)

    assert check_inventory(before, replaced, live_jobs=2) == []
    left = Inventory({"tickforge-worker": ["a", "b"], "pymp": ["c"]}, ["x.tmp"], 3)
    assert len(check_inventory(before, left, live_jobs=2)) == 4
