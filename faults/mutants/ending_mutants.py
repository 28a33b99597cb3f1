"""Mutants of ends: what ends a job, at which tick, and what its record then says."""

from faults.mutants.mutant import Mutant, edit_once

RULES = "tests/test_ticks_stop_rules.py"
RESUMED_ENDS = (
    "tests/test_ticks_exact_resume.py::test_a_resume_ends_where_the_straight_training_ends"
)
EARLIER_RULES = f"{RULES}::test_rules_of_an_earlier_spec_read_the_loss_of_one_tick"
READS_MEAN = "return self.revision >= MEAN_LOSS_REVISION"

MUTANTS = (
    Mutant(
        "sum-of-losses-forgotten",
        "a resume begins the mean of the training losses anew",
        edit_once("ticks/state_files.py", 'and "losses" in saved', "and False"),
        (f"{RESUMED_ENDS}[target, of a mean]",),
    ),
    Mutant(
        "target-of-one-loss",
        "target and patience look at the loss of one tick, as earlier specs mean it",
        edit_once("jobs/spec/job_spec.py", READS_MEAN, "return False"),
        (EARLIER_RULES,),
        quick=True,
    ),
    Mutant(
        "earlier-target-of-a-mean",
        "target and patience of an earlier spec read a mean, which they did not mean",
        edit_once("jobs/spec/job_spec.py", READS_MEAN, "return True"),
        (EARLIER_RULES,),
        quick=True,
    ),
)
