"""Mutants of the client: what it sends of long lists, and how it says what became of jobs."""

from faults.mutants.mutant import Mutant, edit_once

CLIENT = "client/tickforge_client"
ROWS, PREDICTIONS = f"{CLIENT}/prediction_rows.py", f"{CLIENT}/predictions.py"
PREDICTED, WATCHED = "tests/test_client_predictions.py", "tests/test_client_watch.py"
ARGUMENTS = "tests/test_client_arguments.py"

MUTANTS = (
    Mutant(
        "parts-by-several-nets",
        "a long list is predicted by whatever net `latest` is at each part",
        edit_once(PREDICTIONS, 'which = job["tick"]', 'job["tick"]'),
        (
            f"{PREDICTED}::test_all_parts_of_a_list_are_predicted_by_the_net_that_predicted_the_"
            "first",
        ),
    ),
    Mutant(
        "rows-numbered-by-part",
        "an error names a row by its number in the part that was sent",
        edit_once(PREDICTIONS, "_count_from(len(predictions), ", "_count_from(0, "),
        (f"{PREDICTED}::test_a_refused_row_has_its_number_in_the_whole_list_for_both_clients",),
    ),
    Mutant(
        "wrong-row-sent-after-others",
        "a value that cannot be sent is found when the parts before it were predicted",
        edit_once(ROWS, "allow_nan=False", "default=str"),
        (
            f"{PREDICTED}::test_a_value_that_cannot_be_sent_is_named_with_its_place_and_its_rule_"
            "before_anything_is_sent",
        ),
    ),
    Mutant(
        "failed-job-among-others",
        "a watch of several jobs succeeds where one of them failed",
        edit_once(f"{CLIENT}/commands/watch_several.py", "return max(", "return min("),
        (
            f"{WATCHED}::test_several_jobs_are_watched_until_the_last_is_over_and_the_worst_is_the_"
            "exit_code",
        ),
    ),
    Mutant(
        "condition-of-ended-job-unchecked",
        "a condition that cannot be met is no error once the job is known to have ended",
        edit_once(f"{CLIENT}/job_fields.py", 'params.get("until", END) == END', "True"),
        (f"{ARGUMENTS}::test_a_condition_is_checked_by_the_server_also_where_the_job_has_ended",),
    ),
    Mutant(
        "followed-job-stays-as-it-was",
        "a job that was followed to its end is still known as it was before",
        edit_once(f"{CLIENT}/job_calls.py", "await self._fetch_ended(event)", "pass"),
        ("tests/test_client_events.py::test_a_followed_job_is_as_it_ended_with_its_last_event",),
    ),
    Mutant(
        "connections-outlive-their-loop",
        "the connections of an event loop stay open when it is closed",
        edit_once(f"{CLIENT}/transport.py", "await anext(self._guards[loop])", "pass"),
        ("tests/test_client_async.py::test_a_client_serves_one_event_loop_after_another_and_"
         "leaves_no_connection_behind",),
    ),
    Mutant(
        "missing-job-ends-all",
        "a command of several jobs ends where one of them is not there",
        edit_once(f"{CLIENT}/commands/failures.py", "if _concerns_all(error):", "if error:"),
        (f"{ARGUMENTS}::test_a_job_that_is_missing_among_several_is_named_and_the_others_are_"
         "served",),
    ),
    Mutant(
        "quiet-stream-given-up",
        "a job that has no news for long is no longer followed when its stream is cut",
        edit_once(f"{CLIENT}/events.py", "                yield None", "                continue"),
        ("tests/test_client_events.py::test_quiet_streams_that_lasted_are_followed_by_new_ones_"
         "for_ever",),
    ),
)  # fmt: skip
