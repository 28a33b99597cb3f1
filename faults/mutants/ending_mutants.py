"""Mutants of ends: what ends a job, at which tick, and what its record then says."""

from faults.mutants.mutant import Mutant, edit_once

RULES = "tests/test_ticks_stop_rules.py"
RESUMED_ENDS = (
    "tests/test_ticks_exact_resume.py::test_a_resume_ends_where_the_straight_training_ends"
)
EARLIER_RULES = f"{RULES}::test_rules_of_an_earlier_spec_read_the_loss_of_one_tick"
DECAY = "tests/test_ticks_decay.py"
TRANSITIONS = "tests/test_jobs_transitions.py"
ENDS = "tests/test_jobs_ends.py"
NONFINITE = "tests/test_ticks_nonfinite.py"
SKIPPING_JOBS = (
    "tests/test_workers_verify.py"
    "::test_a_job_of_skipped_ticks_ends_as_its_rules_say_and_comes_again"
)
SCHEDULES = "tests/test_ticks_schedules.py"
NORM_WARNINGS = "tests/test_ticks_norm_warnings.py"
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
    ),
    Mutant(
        "earlier-target-of-a-mean",
        "target and patience of an earlier spec read a mean, which they did not mean",
        edit_once("jobs/spec/job_spec.py", READS_MEAN, "return True"),
        (EARLIER_RULES,),
    ),
    Mutant(
        "stop-displaced",
        "a pause takes the place of a stop that was accepted",
        edit_once(
            "jobs/store/lua/request_transition.lua", "pause = 1, stop = 2,", "pause = 2, stop = 1,"
        ),
        (f"{TRANSITIONS}::test_a_pause_takes_the_place_of_no_stop",),
    ),
    Mutant(
        "stop-lost-in-a-pause",
        "a job that was asked to stop and then paused trains on when it is resumed",
        edit_once(
            "jobs/store/lua/prelude.lua", "redis.call('HGET', job, 'requested') ~= 'stop'", "true"
        ),
        (f"{TRANSITIONS}::test_a_stop_is_done_whatever_comes_before_a_worker_does_it",),
    ),
    Mutant(
        "succeeded-half-way",
        "a job that a rule or a client ended shows the share of its budget for ever",
        edit_once("jobs/store/codec.py", 'progress=1.0 if status == "succeeded" else', "progress="),
        (f"{ENDS}::test_a_job_that_succeeded_is_at_its_end_whatever_ended_it[user]",),
        quick=True,
    ),
    Mutant(
        "skipped-counted-again",
        "a skipped tick that is sent or run again is counted again",
        edit_once(
            "jobs/store/lua/append.lua",
            "if new_ticks > 0 then\n  for i, name in ipairs(h.columns) do",
            "if h.skipped then redis.call('HINCRBY', job, 'skipped', 1) h.skipped = false end\n"
            "if new_ticks > 0 then\n  for i, name in ipairs(h.columns) do",
        ),
        (f"{ENDS}::test_skipped_ticks_are_counted_once_whatever_is_sent_again",),
        quick=True,
    ),
    Mutant(
        "skips-in-a-row-forgotten",
        "a resume begins counting skips in a row anew",
        edit_once("ticks/state_files.py", 'numbers.get("skipped_in_a_row", 0)', "0"),
        (f"{NONFINITE}::test_skips_in_a_row_are_counted_over_a_resume",),
    ),
    Mutant(
        "skips-without-end",
        "a job whose ticks are all skipped goes on to the end of its budget",
        edit_once("ticks/nonfinite.py", "self.skipped_in_a_row + 1 >= most", "False"),
        (f"{NONFINITE}::test_many_skips_in_a_row_fail_the_job_with_the_state_before_them[7]",),
    ),
    Mutant(
        "success-without-a-finite-loss",
        "a job that never had a finite loss succeeds",
        edit_once(
            "workers/training_attempt.py", "        if self.end_failure:\n", "        if False:\n"
        ),
        (f"{SKIPPING_JOBS}[0-None-None-nonfinite]",),
    ),
    Mutant(
        "earlier-spec-with-a-bound-of-skips",
        "a spec of an earlier build fails after a hundred skips",
        edit_once("jobs/spec/stored.py", '"max_skips": None, ', ""),
        (f"{NONFINITE}::test_a_spec_of_an_earlier_build_skips_without_end_as_it_meant",),
    ),
    Mutant(
        "constant-with-an-end",
        "an end_factor with a constant rate is accepted and ignored",
        edit_once(
            "jobs/spec/rules.py",
            'if schedule.name == "constant" and schedule.end_factor:',
            "if False:",
        ),
        (f"{SCHEDULES}::test_a_constant_rate_falls_to_nothing_but_a_stored_spec_is_read",),
    ),
    Mutant(
        "norm-of-one-feature-untold",
        "a norm over one feature, which leaves nothing of it, is not warned of",
        edit_once("jobs/spec/spec_warnings.py", "model.norm in ONE_FEATURE and", "False and"),
        (f"{NORM_WARNINGS}::test_a_norm_over_one_feature_is_told[layer]",),
    ),
    Mutant(
        "overflowing-inputs-untold",
        "inputs whose squares overflow in a norm are not warned of",
        edit_once("ticks/data/row_warnings.py", "> MAX_NORMED:", "> 1e39:"),
        (f"{NORM_WARNINGS}::test_inputs_whose_squares_overflow_in_a_norm_are_told",),
        quick=True,
    ),
    Mutant(
        "biases-decay",
        "weight decay is applied to biases and norms' parameters where weights alone decay",
        edit_once("ticks/optimizers.py", "self.is_for_all or p.ndim > 1", "True"),
        (f"{DECAY}::test_an_update_is_torchs_own_by_parameter_groups[adamw-weights]",),
    ),
    Mutant(
        "biases-decay-in-c",
        "the native engine does so",
        edit_once("ticks/engines/native/codegen.py", "or placement.is_weight", "or True"),
        ("tests/test_ticks_native.py::test_bits_are_those_of_every_machine_so_far[weights]",),
    ),
    Mutant(
        "stored-optimizer-decays-weights",
        "a stored optimizer of before has today's decay",
        edit_once("jobs/spec/stored.py", '"decay": "all"', '"decay": "weights"'),
        (f"{DECAY}::test_a_stored_optimizer_without_the_field_decays_all",),
    ),
)
