"""Mutants of durability: what is on disk when a request is acknowledged, and what is read back."""

from faults.mutants.mutant import Mutant, edit_once

FOLDERS = "tests/test_jobs_checkpoint_folders.py"
BACKGROUND_SAVES = "tests/test_workers_background_saves.py"
STORE_AWAY = "tests/test_workers_store_away.py"
CONTROLS = "tests/test_ticks_resume_controls.py"

MUTANTS = (
    Mutant(
        "acknowledged-before-fsync",
        "the store answers before its log is synced: a power cut takes acknowledged jobs",
        edit_once(
            "serving/embedded_store.py", '"appendfsync": "always"', '"appendfsync": "everysec"'
        ),
        ("tests/test_faults_power_cut.py::test_an_acknowledged_job_outlives_a_power_cut",),
    ),
    Mutant(
        "weak-store-accepted",
        "a store that syncs once a second is taken without a word",
        edit_once(
            "jobs/store/connection.py",
            '"appendfsync": ("always", "a power cut',
            '"maxmemory-policy": ("noeviction", "a power cut',
        ),
        ("tests/test_serving_serve.py::test_a_store_that_would_lose_jobs_is_refused",),
    ),
    Mutant(
        "file-named-before-fsync",
        "an artifact gets its name before its bytes are on the disk",
        edit_once("jobs/files/artifacts.py", "        os.fsync(file.fileno())\n", ""),
        ("tests/test_jobs_artifacts.py::test_a_write_brings_the_file_and_then_its_folder_to_disk",),
    ),
    Mutant(
        "checkpoint-committed-before-fsync",
        "a checkpoint counts before its files are on the disk",
        edit_once("jobs/files/checkpoint_folders.py", "        os.fsync(opened.fileno())\n", ""),
        (f"{FOLDERS}::test_all_files_are_on_disk_before_the_folder_gets_its_name",),
    ),
    Mutant(
        "folder-not-synced",
        "a file that was renamed into its place may be gone after a power cut",
        edit_once("jobs/files/artifacts.py", "        os.fsync(folder)\n", "        pass\n"),
        ("tests/test_jobs_artifacts.py::test_a_write_brings_the_file_and_then_its_folder_to_disk",),
    ),
    Mutant(
        "checkpoint-not-verified",
        "a resume trusts a checkpoint whose bytes have changed",
        edit_once(
            "jobs/files/checkpoint_folders.py",
            "            return hash_file(file) == entry.sha256\n",
            "            return True\n",
        ),
        (f"{FOLDERS}::test_a_damaged_checkpoint_is_refused",),
    ),
    Mutant(
        "aside-without-a-copy",
        "a state is written while the training goes on changing it",
        edit_once(
            "ticks/process/state_writer.py",
            "copies[name] = target.copy_(tensor)",
            "copies[name] = tensor",
        ),
        (f"{BACKGROUND_SAVES}::test_a_copy_is_the_state_of_its_tick_whatever_comes_after",),
    ),
    Mutant(
        "late-checkpoint-not-said-again",
        "a checkpoint committed after later ticks is not sent again to a store that lost it",
        edit_once(
            "workers/delivery.py", "last=max(entry.last, self._last_tick)", "last=entry.last"
        ),
        (
            f"{STORE_AWAY}::test_a_checkpoint_that_was_committed_late_is_sent_again_with_the_ticks_before_it",
        ),
    ),
    Mutant(
        "error-not-said-again",
        "an error that the store did not hear of never gets among the job's events",
        edit_once("workers/ledger_writer.py", 'if level != "info":', 'if level == "nothing":'),
        (f"{STORE_AWAY}::test_an_error_during_an_outage_of_the_store_is_among_the_events_once",),
    ),
    Mutant(
        "loaded-state-not-compared",
        "a checkpoint that loads as another state than was saved is trained on",
        edit_once("workers/resume.py", 'loaded["state"] != checkpoint.state:', "False:"),
        (f"{CONTROLS}::test_a_state_that_loads_otherwise_ends_the_attempt",),
    ),
)
