"""Mutants of conditions: which tick is told, that it is told, and once."""

from faults.mutants.mutant import Mutant, edit_once

JOBS = "tests/test_jobs_conditions.py"
WORKERS = "tests/test_workers_conditions.py"
ONCE = f"{JOBS}::test_a_condition_is_told_with_its_tick_in_one_step_and_once"

MUTANTS = (
    Mutant(
        "condition-told-twice",
        "each attempt tells a condition again",
        edit_once("jobs/store/lua/append.lua", "if not told[met[1]] then", "if true then"),
        (ONCE,),
    ),
    Mutant(
        "condition-met-at-a-later-tick",
        "a condition is told with the last tick of a chunk that meets it",
        edit_once("workers/conditions.py",
                  "int(np.argmax(is_met))", "int(np.flatnonzero(is_met)[-1])"),
        (f"{WORKERS}::test_each_condition_is_told_at_the_first_tick_that_meets_it",),
    ),
    Mutant(
        "condition-lost-between",
        "a death between the ticks that meet a condition and its telling loses it",
        edit_once("jobs/recording/writer.py",
                  "_pack_points(sparse), last_met, **progress)\n",
                  "_pack_points(sparse), (), **progress)\n"
                  "        if met:\n"
                  "            result = self._append_call(first + count, {}, {}, met)\n"),
        (ONCE,),
    ),
    Mutant(
        "condition-in-float32",
        "a loss that is 0.1 as a float32 is not above 0.1",
        edit_once("jobs/spec/conditions.py",
                  "np.asarray(values, np.float64)", "np.asarray(values)"),
        (f"{JOBS}::test_a_recorded_value_is_compared_as_the_number_that_it_equals",),
    ),
    Mutant(
        "condition-search-skips-infinity",
        "a wait does not see an infinite loss, which no summary row has among its extremes",
        edit_once("jobs/history/condition_search.py",
                  'summaries["nonfinite"] > 0', 'summaries["nonfinite"] > 1e9'),
        (f"{JOBS}::test_a_search_finds_what_a_look_at_every_tick_does_and_reads_rows",),
    ),
)  # fmt: skip
