"""Mutants of costs: of a check and a replay, and what a plan and an answer say of them."""

from faults.mutants.mutant import Mutant, edit_once

BODY_COSTS = "tests/test_api_body_costs.py"
SPEC_COSTS = "tests/test_jobs_spec_costs.py"
PLAN = "tests/test_jobs_plan_warnings.py"
REPLAY_COSTS = "tests/test_jobs_replay_costs.py"
WRONG_INPUT = "tests/test_api_wrong_input.py"

MUTANTS = (
    Mutant(
        "features-compared-pairwise",
        "each feature that a spec names is compared with all before it",
        edit_once(
            "jobs/spec/data.py",
            '            if name in used:\n                rule = "each',
            '            if name == self.target or name in fields["features"][:at]:\n'
            '                rule = "each',
        ),
        (f"{SPEC_COSTS}::test_twice_the_columns_take_at_most_three_times_as_long",),
    ),
    Mutant(
        "columns-searched-one-by-one",
        "each column of a second dataset is searched for among all",
        edit_once(
            "jobs/spec/second_dataset.py",
            "others.get(expected.name)",
            "other.column(expected.name)",
        ),
        (f"{SPEC_COSTS}::test_twice_the_columns_take_at_most_three_times_as_long",),
    ),
    Mutant(
        "every-error-kept",
        "each of half a million wrong items is an error in memory",
        edit_once("models/strict_models.py", "PIECE_ITEMS = 1000 ", "PIECE_ITEMS = 10**9 "),
        (f"{BODY_COSTS}::test_a_check_takes_at_most_four_times_the_body_and_a_constant",),
    ),
    Mutant(
        "unknown-fields-all-checked",
        "each of a hundred thousand unknown fields is an error in memory",
        edit_once(
            "models/strict_models.py",
            "        surplus = set(unknown[MAX_ERRORS:])\n",
            "        surplus = set[str]()\n",
        ),
        (f"{BODY_COSTS}::test_a_check_takes_at_most_four_times_the_body_and_a_constant",),
    ),
    Mutant(
        "pointer-shown-whole",
        "an answer repeats a name of any length as the place of an error",
        edit_once(
            "api/errors.py",
            "    shown_name = truncate(name, MAX_POINTER_LENGTH)\n",
            "    shown_name = name\n",
        ),
        (f"{WRONG_INPUT}::test_a_problem_is_short_however_long_what_was_sent_is",),
    ),
    Mutant(
        "rate-of-another-engine",
        "a plan's seconds go by a rate that another engine had",
        edit_once(
            "jobs/measured_rates.py",
            "(planned.engine, planned.setting) != (rate.engine, rate.setting)",
            "planned.setting != rate.setting",
        ),
        ("tests/test_jobs_measured_rates.py::test_nothing_is_expected_of_what_nobody_measured",),
    ),
    Mutant(
        "window-not-planned",
        "a plan knows nothing of the values that a rule looks back at",
        edit_once(
            "jobs/memory_estimate.py",
            '"/stop/converged/window": window_values(spec) * WINDOW_VALUE_BYTES,',
            '"/stop/converged/window": 0,',
        ),
        (f"{PLAN}::test_a_window_that_no_worker_has_memory_for_is_refused_by_its_name",),
        quick=True,
    ),
    Mutant(
        "cores-not-counted",
        "nobody is told that there are more threads than cores",
        edit_once("jobs/plan.py", "threads > cores:", "False:"),
        (f"{PLAN}::test_threads_beyond_the_cores_of_every_worker_are_told",),
    ),
    Mutant(
        "no-sign-of-life-within-a-tick",
        "a trainer is silent for as long as a tick takes, and is killed as stalled",
        edit_once(
            "ticks/trainer.py",
            "        self.show_progress()\n        if self.has_dropout:\n",
            "        if self.has_dropout:\n",
        ),
        (
            "tests/test_ticks_micro_batches.py"
            "::test_each_part_of_a_tick_and_each_block_of_an_evaluation_is_a_sign_of_life",
        ),
    ),
    Mutant(
        "sign-of-life-not-counted",
        "a worker takes a trainer within a long tick for stalled though it has heard of it",
        edit_once(
            "workers/trainer_client.py",
            "                self.on_alive()\n",
            "                pass\n",
        ),
        ("tests/test_ticks_commands.py::test_a_trainer_gives_signs_of_life_within_a_chunk",),
    ),
    Mutant(
        "all-points-read-for-one",
        "each point of a replay reads all that are recorded",
        edit_once(
            "jobs/store/lua/append.lua",
            "redis.call('GETRANGE', sparse, int(middle * 16 - 16), int(middle * 16 - 1))",
            "string.sub(redis.call('GET', sparse), middle * 16 - 15, middle * 16)",
        ),
        (f"{REPLAY_COSTS}::test_a_point_in_the_store_is_compared_without_reading_all_of_them",),
    ),
)
