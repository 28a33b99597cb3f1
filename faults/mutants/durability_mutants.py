"""Mutants of durability: what is on disk when a request is acknowledged, and what is read back."""

from faults.mutants.mutant import Edit, Mutant

MUTANTS = (
    Mutant(
        "acknowledged-before-fsync",
        "the store answers before its log is synced: a power cut takes acknowledged jobs",
        (
            Edit(
                "serving/embedded_store.py", '"appendfsync": "always"', '"appendfsync": "everysec"'
            ),
        ),
        ("tests/test_faults_power_cut.py::test_an_acknowledged_job_outlives_a_power_cut",),
        quick=True,
    ),
    Mutant(
        "weak-store-accepted",
        "a store that syncs once a second is taken without a word",
        (
            Edit(
                "jobs/store/connection.py",
                '"appendfsync": ("always", "a power cut',
                '"maxmemory-policy": ("noeviction", "a power cut',
            ),
        ),
        ("tests/test_serving_serve.py::test_a_store_that_would_lose_jobs_is_refused",),
    ),
    Mutant(
        "file-named-before-fsync",
        "an artifact gets its name before its bytes are on the disk",
        (Edit("jobs/files/artifacts.py", "                os.fsync(file.fileno())\n", ""),),
        ("tests/test_jobs_artifacts.py::test_a_write_brings_the_file_and_then_its_folder_to_disk",),
    ),
    Mutant(
        "checkpoint-committed-before-fsync",
        "a checkpoint counts before its files are on the disk",
        (Edit("jobs/files/checkpoint_folders.py", "        os.fsync(opened.fileno())\n", ""),),
        (
            "tests/test_jobs_checkpoint_folders.py::test_all_files_are_on_disk_before_the_folder_gets_its_name",
        ),
    ),
    Mutant(
        "folder-not-synced",
        "a file that was renamed into its place may be gone after a power cut",
        (Edit("jobs/files/artifacts.py", "        os.fsync(folder)\n", "        pass\n"),),
        ("tests/test_jobs_artifacts.py::test_a_write_brings_the_file_and_then_its_folder_to_disk",),
    ),
    Mutant(
        "checkpoint-not-verified",
        "a resume trusts a checkpoint whose bytes have changed",
        (
            Edit(
                "jobs/files/checkpoint_folders.py",
                "            if hash_file(file) != entry.sha256:\n",
                "            if False:\n",
            ),
        ),
        ("tests/test_jobs_checkpoint_folders.py::test_a_damaged_checkpoint_is_refused",),
    ),
    Mutant(
        "aside-without-a-copy",
        "a state is written while the training goes on changing it",
        (
            Edit(
                "ticks/process/state_writer.py",
                "copies[name] = target.copy_(tensor)",
                "copies[name] = tensor",
            ),
        ),
        (
            "tests/test_workers_background_saves.py::test_a_copy_is_the_state_of_its_tick_whatever_comes_after",
        ),
    ),
    Mutant(
        "late-checkpoint-not-said-again",
        "a checkpoint committed after later ticks is not sent again to a store that lost it",
        (Edit("workers/delivery.py", "last=max(entry.last, self._last_tick)", "last=entry.last"),),
        (
            "tests/test_workers_store_away.py"
            "::test_a_checkpoint_that_was_committed_late_is_sent_again_with_the_ticks_before_it",
        ),
    ),
    Mutant(
        "error-not-said-again",
        "an error that the store did not hear of never gets among the job's events",
        (Edit("workers/ledger_writer.py", 'if level != "info":', 'if level == "nothing":'),),
        (
            "tests/test_workers_store_away.py"
            "::test_an_error_during_an_outage_of_the_store_is_among_the_events_once",
        ),
    ),
    Mutant(
        "loaded-state-not-compared",
        "a checkpoint that loads as another state than was saved is trained on",
        (Edit("workers/resume.py", 'loaded["state"] != checkpoint.state:', "False:"),),
        (
            "tests/test_ticks_resume_controls.py::test_a_state_that_loads_otherwise_ends_the_attempt",
        ),
    ),
)
