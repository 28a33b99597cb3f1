"""Mutants of metrics, of the rules that go by them, of report.json and of weighted losses."""

from faults.mutants.mutant import Mutant, edit_once

METRICS, BEST = "tests/test_ticks_metrics.py", "tests/test_ticks_best_metric.py"
WEIGHTS = "tests/test_ticks_class_weights.py"
CLASSES = f"{METRICS}::test_metrics_of_classes_are_their_formulas"
NUMBERS = f"{METRICS}::test_metrics_of_numbers_are_their_formulas_in_the_targets_own_units"

MUTANTS = (
    Mutant(
        "ties-count-as-losses",
        "a pair of equal scores counts nothing in the area under the curve",
        edit_once("ticks/metrics/classes.py", 'side="right")', 'side="left")'),
        (f"{CLASSES}[two, ties]",),
    ),
    Mutant(
        "f1-of-absent-classes",
        "a class that occurs nowhere counts as an F1 of 0",
        edit_once(
            "ticks/metrics/classes.py",
            "        is_there = occurring > 0\n",
            "        is_there, occurring = occurring >= 0, np.maximum(occurring, 1)\n",
        ),
        (f"{CLASSES}[five, one row]",),
    ),
    Mutant(
        "spread-by-squares",
        "the spread of targets far from 0 cancels: sums of squares less the square of the sum",
        edit_once(
            "ticks/metrics/sums.py",
            "        squares = _sum_rows((rows - mean) ** 2)\n",
            "        squares = _sum_rows(rows**2) - len(rows) * mean**2\n",
        ),
        (f"{NUMBERS}[far from 0]",),
    ),
    Mutant(
        "constant-target-has-an-r2",
        "R² of a constant target is a number, by the rounding of its mean",
        edit_once(
            "ticks/metrics/sums.py",
            "np.where(self._low == self._high, 0.0, self._squares)",
            "np.where(self._low == self._high, 1e-30, self._squares)",
        ),
        (f"{NUMBERS}[a constant one]",),
    ),
    Mutant(
        "errors-in-scaled-units",
        "errors of scaled targets are not in the target's own units",
        edit_once(
            "ticks/metrics/numbers.py", "                residuals *= self._deviation\n",
            "                pass\n",
        ),
        (f"{NUMBERS}[random]",),
    ),
    Mutant(
        "bits-of-a-token",
        "the bits of a byte are those of a token, however many bytes that is",
        edit_once("ticks/metrics/tokens.py", "int(self._lengths[tokens].sum())", "tokens.size"),
        (f"{METRICS}::test_perplexity_is_of_a_token_and_bits_are_of_a_byte",),
    ),
    Mutant(
        "undefined-is-best",
        "a value that is not defined may be the best",
        edit_once(
            "ticks/best.py", "    if not math.isfinite(value):\n        return None\n", ""
        ),
        (f"{BEST}::test_an_undefined_value_is_never_the_best_and_is_null_beside_one",),
    ),
    Mutant(
        "best-is-always-the-least",
        "the best checkpoint is that of the least value of any metric",
        edit_once("ticks/stopping.py", 'value - best if mode == "max" else ', ""),
        (f"{BEST}::test_the_best_is_the_first_of_the_best_values_of_its_metric",),
    ),
    Mutant(
        "weighted-parts-by-rows",
        "parts of a tick count by their rows where its rows have weights",
        edit_once("ticks/micro_batches.py", "weight = weigh(part) / total\n", "pass\n"),
        (f"{WEIGHTS}::test_a_tick_of_any_parts_has_the_loss_and_gradient_of_torchs_whole_batch",),
    ),
    Mutant(
        "report-forgotten-by-a-load",
        "a checkpoint between two validations of a resumed training has no report",
        edit_once("ticks/state_files.py", "REPORT).exists()", "REPORT) is None"),
        (
            "tests/test_ticks_state_files.py"
            "::test_a_resume_between_two_validations_saves_the_same_report_to_the_byte",
        ),
    ),
)  # fmt: skip
