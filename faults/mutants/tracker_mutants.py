"""Mutants of exports to trackers."""

from faults.mutants.mutant import Mutant, edit_once

EXPORTS, COMMAND = "tests/test_api_trackers.py", "tests/test_client_export.py"
BLOCKS, EVENTS = "jobs/trackers/tick_blocks.py", "jobs/trackers/event_file.py"
RECORDS = "jobs/trackers/wandb_records.py"
EVENT_BITS = f"{EXPORTS}::test_an_event_file_has_every_tick_once_with_the_bits_of_every_value"
RUN_BITS = f"{EXPORTS}::test_a_run_has_every_tick_once_and_its_numbers_are_read_back_to_the_bit"
FOLLOWED = f"{EXPORTS}::test_a_live_jobs_events_followed_to_its_end_are_the_bytes_of_the_whole"
PRIVATE = (
    f"{EXPORTS}::test_rows_and_addresses_are_not_exported_and_a_queued_job_has_a_beginning_alone"
)
KILLED = f"{COMMAND}::test_a_command_that_was_killed_at_any_step_goes_on_without_doubled_ticks"
ENDED = f"{COMMAND}::test_a_run_is_written_once_its_job_has_ended"

MUTANTS = (
    Mutant(
        "export-drops-a-tick-of-a-block",
        "an export lacks a tick at the end of each block that is read at once",
        edit_once(
            BLOCKS,
            "yield from self._read_block(points, before, start, stop)",
            "yield from self._read_block(points, before, start, max(start, stop - 1))",
        ),
        (EVENT_BITS, RUN_BITS),
    ),
    Mutant(
        "export-rounds-float64",
        "what TensorBoard has as float64 is rounded to float32",
        edit_once(
            EVENTS,
            "message(DOUBLES, little_endian(column.values))",
            "message(DOUBLES, little_endian(column.values.astype(np.float32).astype(float)))",
        ),
        (EVENT_BITS,),
    ),
    Mutant(
        "run-has-null-for-nan",
        "losses that are not finite are lost in a run of W&B",
        edit_once(RECORDS, 'inf_nan_mode="constants"', 'inf_nan_mode="null"'),
        (RUN_BITS,),
    ),
    Mutant(
        "run-has-no-negative-zero",
        "-0.0 is 0.0 in a run of W&B if a block has no other value",
        edit_once(
            RECORDS,
            "if np.all(bits == bits[:1]):",
            "if np.all(values == values[:1]):",
        ),
        ("tests/test_jobs_trackers.py::test_a_number_in_json_is_read_back_to_the_bit",),
    ),
    Mutant(
        "export-does-not-wait-for-a-ticks-points",
        "a followed event file lacks the validation of a job's last tick",
        edit_once(BLOCKS, 'max(int(points["tick"][0]) - 1, 0)', 'int(points["tick"][0])'),
        (FOLLOWED,),
    ),
    Mutant(
        "export-of-a-stale-tick",
        "a client that follows is told that nothing has come though ticks have",
        edit_once(
            "api/routes_exports.py",
            'f"{ticks.first} {ticks.last} {ticks.is_complete}"',
            'f"{ticks.first}"',
        ),
        (f"{EXPORTS}::test_an_export_is_304_until_ticks_come",),
    ),
    Mutant(
        "export-has-addresses",
        "addresses of webhooks, which may hold secrets, go to a tracker's server",
        edit_once("jobs/trackers/shown_spec.py", "exclude=PRIVATE", "exclude=None"),
        (PRIVATE,),
    ),
    Mutant(
        "export-appends-at-the-end",
        "an export that was killed has ticks twice afterwards",
        edit_once(
            "client/tickforge_client/trackers.py",
            "file.seek(start)",
            "file.seek(0, 2)",
        ),
        (KILLED, f"{COMMAND}::test_two_commands_in_one_folder_write_the_same_bytes"),
    ),
    Mutant(
        "export-asks-for-a-tick-again",
        "each export of a live job doubles the tick that it goes on after",
        edit_once(
            "client/tickforge_client/trackers.py",
            "after=export.tick)",
            "after=max(export.tick - 1, 0))",
        ),
        (f"{COMMAND}::test_a_followed_event_file_has_each_tick_once_though_answers_break_off",),
    ),
    Mutant(
        "run-of-a-live-job-exported",
        "a run of W&B is synced before its job has ended, and its steps a second time afterwards",
        edit_once(
            "client/tickforge_client/job_exports.py",
            "if not (has_ended or export.tracker in GROWING):",
            "if export.is_complete and not has_ended:",
        ),
        (ENDED,),
    ),
)
