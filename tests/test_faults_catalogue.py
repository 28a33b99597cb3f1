"""The fault suite's short form: a fixed seed, every group of the catalogue, every invariant.

The long form is `make faults`. What each invariant can see, tests/test_faults_invariants.py shows.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from faults import report, schedule
from faults.attack import Attack
from faults.campaign import Campaign, Finding
from faults.catalogue import CATALOGUE
from faults.schedule import Round
from faults.soak.leftovers import take_inventory
from faults.soak.soak import Soak
from tests.support import ROOT

SEED = 10
SOAK_SECONDS = 4.0
#: each group once, but for those whose very fault another test makes with a real worker: F1
#: (test_faults_recovery), F13 (test_workers_full_disk), F18 (test_workers_resume), F21
#: (test_workers_trainer_failures). These, and the other kinds of a group, are left to `make faults`
SHORT = [
    ["F2.script", "F9", "F17", "F10"],
    ["F3.append", "F5", "F11", "F12.recorded", "F23", "F30.commit"],
    ["F7", "F6", "F8.inside", "F26", "F31.signal"],
    ["F15"],
]


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with Campaign() as running:
        yield running


def describe(finding: Finding) -> str:
    return report.format_round(0, finding)


@pytest.mark.slow
@pytest.mark.parametrize("faults", SHORT, ids=[" ".join(faults) for faults in SHORT])
def test_a_campaign_loses_doubles_and_changes_nothing(
    campaign: Campaign, faults: list[str]
) -> None:
    finding = campaign.run(Round(SEED, faults))

    assert finding.violations == [], describe(finding)
    assert finding.fault_count >= len(faults) // 2, describe(finding)


@pytest.mark.slow
def test_a_campaign_sees_a_history_that_was_changed(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: an attack writes over a tick that clients were shown."""

    def forge(attack: Attack) -> None:
        job = attack.new_job("replayed")
        name = f"job:{{default/{job.job_id}}}:f32:loss:0"
        attack.wait_for(lambda: len(job.observed.losses) > 4 * 50, 20)
        attack.service.store.setrange(name, 4 * 10, b"\1\2\3\4")

    monkeypatch.setitem(CATALOGUE, "F0", CATALOGUE["F1"].__class__("F0", "", forge, "", 1, True))
    finding = campaign.run(Round(SEED, ["F0"]))

    assert {"I2", "I3"} <= {broken.invariant for broken in finding.violations}, describe(finding)
    assert any("tick 11" in broken.what for broken in finding.violations)


@pytest.mark.slow
def test_a_service_in_use_while_a_worker_is_killed_keeps_every_invariant(
    campaign: Campaign,
) -> None:
    soak = Soak(campaign, SEED)

    soak.run(SOAK_SECONDS)

    assert soak.tally.violations == [], soak.as_json()
    assert {"requests", "uploads"} <= set(soak.tally.counts)


@pytest.mark.slow
def test_a_service_that_is_left_alone_is_whole_again(campaign: Campaign) -> None:
    assert campaign.check_recovered() == []
    # workers were killed: what they left is removed by the next, which knows it by its name
    temporary = take_inventory(campaign.service).temporary
    assert [kind for kind in temporary if not kind.startswith("tickforge-")] == []


def test_a_seed_gives_one_schedule_and_it_can_be_written_and_read(tmp_path: Path) -> None:
    rounds = list(islice(schedule.draw_rounds(3, schedule.select_entries(None)), 30))

    assert rounds == list(islice(schedule.draw_rounds(3, schedule.select_entries(None)), 30))
    assert rounds != list(islice(schedule.draw_rounds(4, schedule.select_entries(None)), 30))
    file = tmp_path / "schedule.json"
    file.write_text(schedule.schedule_json(3, rounds))
    assert schedule.read_schedule(file) == (3, rounds)


def test_the_first_rounds_have_every_fault_once() -> None:
    rounds = islice(schedule.draw_rounds(3, schedule.select_entries(None)), 25)

    assert {name for round_ in rounds for name in round_.faults} == set(CATALOGUE)


def test_the_catalogue_has_every_number_of_the_list() -> None:
    assert {entry.number for entry in CATALOGUE.values()} == set(range(1, 32))


def test_an_unknown_fault_is_refused_and_the_list_names_all() -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "faults", *arguments], cwd=ROOT, capture_output=True,
            text=True, timeout=60,
        )  # fmt: skip

    unknown = run("--only", "F99")
    assert (unknown.returncode, unknown.stdout) == (2, "") and "F99" in unknown.stderr
    assert run("--list").stdout.count("\n") == len(CATALOGUE)


def test_a_result_can_be_run_again(tmp_path: Path) -> None:
    finding = Finding(Round(1, ["F1"]), happened={"F1": 3})
    report.write_result(tmp_path / "result.json", 7, [finding], [], 1.0)

    assert json.loads((tmp_path / "result.json").read_text())["faults"] == 3
    assert schedule.read_schedule(tmp_path / "result.json") == (7, [finding.round])
