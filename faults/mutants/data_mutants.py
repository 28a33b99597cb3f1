"""Mutants of data: what scales and fills rows, what a split holds out, what a record means."""

from faults.mutants.mutant import Mutant, edit_once

COLUMNS = "tests/test_ticks_table_columns.py"
SPLITS = "tests/test_jobs_splits.py"

MUTANTS = (
    Mutant(
        "predictions-not-unscaled",
        "model.py's predictions are in the units of the scaled targets",
        edit_once(
            "models/mlp/inference.py", 'scale = CONFIG.get("target_scale")\n', "scale = None\n"
        ),
        (f"{COLUMNS}::test_targets_are_scaled_by_the_training_rows_and_predictions_are_in_their_units",),
    ),
    Mutant(
        "held-out-rows-scale",
        "held-out rows decide by what targets are scaled",
        edit_once(
            "ticks/data/tables.py",
            "fit_scaling(loader.targets, training)",
            "fit_scaling(loader.targets)",
        ),
        (f"{COLUMNS}::test_targets_are_scaled_by_the_training_rows_and_predictions_are_in_their_units",),
    ),
    Mutant(
        "constant-by-its-deviation",
        "a constant column is told by its rounded deviation, as in the first revision",
        edit_once("ticks/data/standardize.py", "    if has_exact_constants:\n", "    if False:\n"),
        (f"{COLUMNS}::test_a_constant_column_keeps_its_scale",),
    ),
    Mutant(
        "gap-not-shown",
        "the net does not see which numbers were filled",
        edit_once(
            "ticks/data/tables.py", "if name in self._binding.gap_names:\n", "if False:\n"
        ),
        (f"{COLUMNS}::test_gaps_are_filled_and_shown_to_the_net[mean-40.0]",),
    ),
    Mutant(
        "old-record-read-as-new",
        "a stored spec of the first revision is read with today's defaults",
        edit_once(
            "jobs/spec/stored.py",
            'if fields.get("revision", FIRST_REVISION) == FIRST_REVISION:',
            "if False:",
        ),
        (f"{COLUMNS}::test_the_first_revision_keeps_its_rules",),
        quick=True,
    ),
    Mutant(
        "share-in-binary",
        "a fraction is that of the nearest binary number: 0.29 of 100 rows is 28",
        edit_once("jobs/spec/held_out.py", "Fraction(repr(fraction))", "Fraction(fraction)"),
        (f"{SPLITS}::test_a_share_is_that_of_the_decimal_as_written",),
    ),
)  # fmt: skip
