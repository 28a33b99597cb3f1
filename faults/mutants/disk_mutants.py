"""Mutants of a disk that refuses: what is answered then, what is kept, what a record costs."""

from faults.mutants.mutant import Mutant, edit_once

REFUSALS = "tests/test_api_disk_refusals.py"
REQUESTS = "tests/test_jobs_request_records.py"
ANSWERED = "test_a_refused_request_changes_nothing_and_what_is_acknowledged_outlives_the_store"
KIND = f"{REFUSALS}::{ANSWERED}"
FULL = f"{REFUSALS}::test_a_full_disk_refuses_new_things_and_takes_changes_and_deletions"

MUTANTS = (
    Mutant(
        "room-not-taken-first",
        "a submission is stored before it is known whether the disk has room for its record",
        edit_once("jobs/archive/disk_reserve.py", "                reservation.allocate(size)\n",
                  "                pass\n"),
        (FULL,),
    ),
    Mutant(
        "no-reserve-on-a-full-disk",
        "a full disk refuses cancels and deletions, which would make room",
        edit_once("jobs/archive/disk_reserve.py",
                  "            reservation = self._take_prepared()\n", "            raise\n"),
        (FULL,),
    ),
    Mutant(
        "reserve-not-filled-again",
        "what a full disk took of the reserve is missing at the next one",
        edit_once("jobs/startup.py", "    archive.refill_reserve()\n", ""),
        (f"{REFUSALS}::test_the_space_kept_for_changes_is_used_up_and_filled_again",),
    ),
    Mutant(
        "done-but-refused",
        "a change whose record the disk refused is answered as if nothing had happened",
        edit_once("jobs/archive/owed_records.py",
                  "            raise NotArchived(str(error)) from error\n", "            raise\n"),
        (KIND,),
    ),
    Mutant(
        "owed-record-forgotten",
        "a record that the disk refused is never written, unless the client asks again",
        edit_once("jobs/archive/owed_records.py",
                  "            self.add(OwedRecord(owner, tenant, record_id))\n", ""),
        (f"{REFUSALS}::test_what_the_disk_refused_is_archived_later_without_another_request",),
    ),
    Mutant(
        "short-record-not-read",
        "a rebuild does not know what a full disk took as a short record",
        edit_once("jobs/archive/reader.py", "*([changed] if changed.exists() else [])", ""),
        (KIND,),
    ),
    Mutant(
        "key-without-a-secret",
        "a key whose record the disk refused stays, and nobody has its secret",
        edit_once("jobs/access_keys.py", 'if answer == b"new":  # nobody', "if False:  # nobody"),
        (KIND,),
    ),
    Mutant(
        "disk-not-probed",
        "a service that can store nothing says that it is ready",
        edit_once("api/routes_service.py", "        context.deps.jobs.check_disk()\n",
                  "        pass\n"),
        (f"{REFUSALS}::test_readiness_tells_that_the_disk_refuses_and_comes_back",),
    ),
    Mutant(
        "requests-in-every-record",
        "each record of a job holds all its checkpoint requests: n of them cost n squared",
        edit_once("jobs/store/lua/prelude.lua", "= {} -- responses to checkpoint",
                  "= redis.call('HGETALL', keys.checkpoint_responses(member)) --"),
        (f"{REQUESTS}::test_a_checkpoint_request_costs_the_same_after_many_others",),
    ),
    Mutant(
        "page-read-whole",
        "a page of one job reads the records of a hundred",
        edit_once("jobs/queries/jobs.py",
                  "len(chosen) == limit or size > MAX_PAGE_BYTES\n", "len(chosen) == 100\n"),
        ("tests/test_api_jobs.py::test_a_page_of_jobs_with_large_specs_is_bounded_by_bytes",),
    ),
    Mutant(
        "artifacts-open-to-all",
        "other users of the machine may read what a tenant stored",
        edit_once("jobs/files/artifacts.py", "NEW_FILE_FLAGS, 0o600)", "NEW_FILE_FLAGS, 0o644)"),
        (f"{REQUESTS}::test_artifacts_are_the_owners_alone_and_folders_of_earlier_builds_are_closed",),
    ),
)  # fmt: skip
