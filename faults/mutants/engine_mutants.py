"""Mutants of the graph engine's trial: what it keeps, and what replaces it."""

from faults.mutants.mutant import Mutant, edit_once

TESTS = "tests/test_ticks_graph_trial.py"
OWN_TICKS = f"{TESTS}::test_a_trial_keeps_its_ticks_up_to_the_first_decision"
ALTERED = f"{TESTS}::test_an_altered_proof_proves_nothing_and_is_removed"
FAILURES = "tests/test_workers_trainer_failures.py"
LIMITS = "tests/test_ticks_engine_trial_limits.py"
DIFFERENCE = f"{TESTS}::test_a_difference_throws_the_proof_away_and_eager_trains"

MUTANTS = (
    Mutant(
        "undone-ticks-of-a-trial-kept",
        "the ticks of a trial after the first decision are not undone",
        edit_once("ticks/engines/trial.py", "elif kept_state is not None:", "elif False:"),
        (OWN_TICKS,),
        quick=True,
    ),
    Mutant(
        "decision-in-a-trial-skipped",
        "a decision at the last tick that a trial kept is not made",
        edit_once(
            "ticks/training.py",
            "before = self.ticks_done - self.trial_ticks",
            "before = self.ticks_done",
        ),
        (OWN_TICKS,),
    ),
    Mutant(
        "later-programs-not-tried",
        "a program that is first needed after the trial runs unseen",
        edit_once(
            "ticks/engines/graph_trial.py",
            "                self._engine.require_trials(self._compared, self._proofs)\n",
            "                pass\n",
        ),
        (f"{TESTS}::test_a_program_that_is_first_needed_later_is_tried_then",),
    ),
    Mutant(
        "trial-state-not-compared",
        "engines agree if their losses do, whatever the states",
        edit_once("ticks/engines/trial.py", "state_digest(trainer) != engine_state", "False"),
        ("tests/test_ticks_graph.py::test_the_trial_sees_a_state_that_differs_from_eagers",),
    ),
    Mutant(
        "proof-not-read",
        "a proof is a file of the right name, whatever it holds",
        edit_once(
            "ticks/engines/proofs.py",
            "if self._content(program, n) == content), 0)",
            "if n == PROOF_TICKS), 0)",
        ),
        (ALTERED,),
        quick=True,
    ),
    Mutant(
        "proof-of-another-machine",
        "a proof holds whatever the canary",
        edit_once(
            "ticks/engines/proofs.py",
            "{**self._context._asdict(), ",
            '{**self._context._replace(canary="")._asdict(), ',
        ),
        (f"{TESTS}::test_what_is_not_proven_is_tried",),
    ),
    Mutant(
        "proven-for-ever",
        "no job whose programs are proven is tried again",
        edit_once("ticks/engines/proofs.py", "% RETRIAL_PERIOD == 0", "% 997 == 0"),
        (f"{TESTS}::test_proven_programs_are_tried_again_for_one_job_in_twenty",),
    ),
    Mutant(
        "proof-outlives-a-difference",
        "a difference leaves the proof of its programs",
        edit_once("ticks/engines/proofs.py", "        self._proofs.discard(programs)\n", ""),
        (DIFFERENCE,),
    ),
    Mutant(
        "proven-by-a-few-ticks",
        "a program is proven by the first tick of it that was compared",
        edit_once("ticks/engines/proofs.py", "count >= PROOF_TICKS for", "count > 0 for"),
        (f"{TESTS}::test_a_program_is_proven_once_enough_of_its_ticks_were_compared",),
    ),
    Mutant(
        "proof-of-any-size",
        "a proof holds for all programs of the same text, whatever the sizes of their tensors",
        edit_once("ticks/engines/graph/loop.py", "[self.text, *layouts]", "[self.text]"),
        (f"{LIMITS}::test_programs_of_one_text_are_told_apart_by_the_layout_of_their_tensors",),
        quick=True,
    ),
    Mutant(
        "tick-without-update-compared",
        "a tick whose loss is not finite counts as compared, though it has no update",
        edit_once(
            "ticks/engines/trial.py",
            "eager_chunk.count - eager_chunk.nonfinite",
            "max(ticks, eager_chunk.count)",
        ),
        (f"{LIMITS}::test_an_update_is_compared_though_an_early_loss_is_not_finite",),
    ),
    Mutant(
        "resumed-programs-not-compared",
        "a resumed job runs programs that differ, which its first attempt left to eager",
        edit_once("ticks/engines/graph_trial.py", "if self._rules.compares_recorded:", "if False:"),
        (f"{LIMITS}::test_a_resumed_job_has_the_programs_that_differ_run_by_eager_again",),
    ),
    Mutant(
        "measured-costs-not-checked",
        "a record of costs is taken as it is, whatever its numbers",
        edit_once(
            "ticks/engines/measured_costs.py",
            "type(n) is float and MIN_VALUE <= n <= MAX_VALUE for",
            "True for",
        ),
        (f"{LIMITS}::test_a_record_of_costs_that_no_trial_wrote_is_left_out",),
    ),
    Mutant(
        "no-memory-for-a-trial-fails",
        "a job without memory for a trial fails, though eager alone could train it",
        edit_once(
            "ticks/engines/trial.py",
            'if isinstance(error, MemoryError) or "allocate memory" in str(error):',
            "if False:",
        ),
        (f"{FAILURES}::test_a_job_that_has_no_memory_for_a_trial_is_trained_by_eager",),
    ),
    Mutant(
        "measured-once-for-all",
        "what was measured once decides for every later job, also for those that are tried again",
        edit_once(
            "ticks/engines/selection.py",
            "rules.canary is not None and not is_retrial_due(rules.job)",
            "rules.canary is not None",
        ),
        (f"{LIMITS}::test_a_measurement_that_was_wrong_once_is_made_again",),
    ),
    Mutant(
        "trial-longer-than-the-budget",
        "a trial keeps all its ticks, however few seconds the budget has",
        edit_once("jobs/spec/engines.py", "if spec.budget.seconds is not None:", "if False:"),
        (f"{LIMITS}::test_a_trial_keeps_no_more_ticks_than_the_seconds_of_the_budget",),
    ),
    Mutant(
        "later-difference-not-told",
        "a program that differs after the trial is left to eager without a word",
        edit_once(
            "ticks/engines/graph/engine.py", "            self._warn(rows, difference)\n", ""
        ),
        (f"{LIMITS}::test_a_difference_after_the_trial_is_told_and_throws_the_proof_away",),
    ),
)
