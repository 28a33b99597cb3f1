"""Mutants of requests: what a check may cost, and how much of a bad body an answer shows."""

from faults.mutants.mutant import Mutant, edit_once

BODY_COSTS = "tests/test_api_body_costs.py"
SPEC_COSTS = "tests/test_jobs_spec_costs.py"
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
        quick=True,
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
        quick=True,
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
        quick=True,
    ),
)
