"""Mutants of forks: what they copy, what they begin with, what a broken one leaves."""

from faults.mutants.mutant import Mutant, edit_once

BITS = "tests/test_workers_forks.py::test_a_fork_with_an_empty_patch_is_its_parents_continuation"
EXTENSION = (
    "tests/test_workers_forks.py::"
    "test_an_extension_is_the_longer_job_though_its_parent_validated_at_its_end"
)
INIT = (
    "tests/test_workers_forks.py::test_a_job_begins_with_another_jobs_weights_and_a_fresh_optimizer"
)
API = "tests/test_api_forks.py"
KILLS = "tests/test_faults_forks.py"
FIRST_STATE = "jobs/forks/first_state.py"
OWN_COPIES = (f"{API}::test_a_fork_has_the_line_and_the_state_as_its_own",)

MUTANTS = (
    Mutant(
        "fork-counts-ticks-from-zero",
        "a fork draws rows, dropout and rates by its own numbering of ticks",
        edit_once(FIRST_STATE, '{"ended": None, "tested_at"', '{"tick": 0, "tested_at"'),
        (f"{BITS}[momentum]",),
    ),
    Mutant(
        "fork-without-the-optimizer",
        "a fork begins with a fresh optimizer",
        edit_once(
            "ticks/state_files.py",
            'tensors.get("optimizer", {})\n',
            'tensors.get("optimizer", {})\n'
            '    optimizer = {} if "-t0" in folder.name else optimizer\n',
        ),
        (f"{BITS}[momentum]",),
    ),
    Mutant(
        "extension-ends-where-its-parent-did",
        "an extension takes its parent's end for its own, and trains no tick",
        edit_once(FIRST_STATE, '"ended": None, ', '"ended": saved["ended"], '),
        (f"{EXTENSION}[patience-val_loss]",),
    ),
    Mutant(
        "extension-knows-what-the-end-measured",
        "an extension has a validation that the longer job would not have made",
        edit_once(FIRST_STATE, "if open_state is not None:", "if False:"),
        (f"{EXTENSION}[patience-val_loss]",),
    ),
    Mutant(
        "fork-shares-its-parents-files",
        "what damages a file of a job damages its forks",
        edit_once(
            "jobs/files/checkpoint_copies.py",
            "            copy_file(opened, folder / entry.name, on_progress)\n",
            "            place = files, tenant, source_job, source\n"
            "            original = checkpoint_folders.folder_path(*place) / entry.name\n"
            "            os.link(original, folder / entry.name)\n",
        ),
        OWN_COPIES,
    ),
    Mutant(
        "copy-not-compared",
        "a fork begins with a damaged checkpoint",
        edit_once(
            "jobs/files/checkpoint_copies.py",
            "    checkpoint_folders.check_folder(files, folder, copy)\n",
            "",
        ),
        (f"{API}::test_a_damaged_checkpoint_is_not_copied",),
    ),
    Mutant(
        "fork-made-though-its-files-may-be-gone",
        "a copy that stood still too long becomes a job without files",
        edit_once("jobs/store/lua/submit.lua", "if h.start and not is_held(member)", "if false"),
        (f"{KILLS}::test_a_copy_that_stood_still_too_long_makes_no_job",),
    ),
    Mutant(
        "broken-forks-files-stay",
        "the files of a fork whose process died stay for ever",
        edit_once(
            "jobs/store/lua/hold_files.lua",
            "redis.call('ZADD', keys.PENDING_JOB_REMOVALS, int(now), h.member)",
            "if not h.is_new then redis.call('ZADD', keys.PENDING_JOB_REMOVALS, now, h.member) end",
        ),
        (f"{KILLS}::test_a_kill_at_any_step_leaves_a_whole_fork_or_nothing",),
    ),
    Mutant(
        "fork-changes-the-net",
        "a fork's spec says another net than that of its weights",
        edit_once("jobs/spec/fork_patch.py", "[*_find_fixed(shown, merged), *_find", "[*_find"),
        (f"{API}::test_what_a_fork_cannot_change_is_422_in_the_plan_and_in_the_fork",),
    ),
    Mutant(
        "schedule-stretched-unasked",
        "a fork with another total of ticks silently follows another curve of rates",
        edit_once("jobs/spec/fork_patch.py", "if depends_on_total and total", "if False and total"),
        (f"{API}::test_a_schedule_that_depends_on_the_total_is_named_when_the_total_changes",),
    ),
    Mutant(
        "forks-first-state-expires",
        "the state that a fork begins with is removed as its oldest, and no verify can begin there",
        edit_once("workers/ledger_writer.py", "first = self._claim.fork_tick or 0", "first = 0"),
        ("tests/test_workers_forks.py::test_the_first_state_of_a_fork_stays_for_its_verify",),
    ),
    Mutant(
        "misfit-weights-taken",
        "weights of other shapes pass a submission, and the job fails when it is built",
        edit_once(
            "jobs/forks/initial_weights.py", "if misfits and (init.strict", "if False and (misfits"
        ),
        (f"{API}::test_an_init_that_cannot_be_is_422_at_submission_and_in_the_plan",),
    ),
    Mutant(
        "init-forgotten",
        "a job that names another's weights begins with drawn ones",
        edit_once(
            "ticks/training.py",
            "        load_initial_weights(self.trainer.net, spec, artifacts)\n",
            "",
        ),
        (INIT,),
    ),
    Mutant(
        "rates-of-a-line-by-its-last-job",
        "the column lr shows rates that no tick of the parent used",
        edit_once("jobs/history/line_rates.py", "if not job.lineage:", "if True:"),
        (f"{API}::test_the_learning_rates_of_a_line_are_those_that_were_used",),
    ),
    Mutant(
        "fork-begun-from-its-spec",
        "a fork whose state is lost trains its parent's ticks again by its own spec",
        edit_once("workers/resume.py", "if claim.fork_tick is not None:", "if False:"),
        (
            "tests/test_workers_forks.py::"
            "test_a_fork_whose_first_state_is_damaged_is_paused_and_never_begun_from_its_spec",
        ),
    ),
)
