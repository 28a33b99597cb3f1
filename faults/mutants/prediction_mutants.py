"""Mutants of answers: whose bits they have, what is held in memory, and what is refused."""

from faults.mutants.mutant import Mutant, edit_once

PREDICTIONS = "tests/test_models_predictions.py"
ANSWERS = "tests/test_ticks_answers.py"
MLP, TEXT = "models/mlp/inference.py", "models/transformer_lm/inference.py"

MUTANTS = (
    Mutant(
        "predicted-in-company",
        "a row is computed among the rows before it, which changes its last bits",
        edit_once(
            MLP,
            "rows[at : at + 1].clone())",
            "torch.cat([rows[at : at + 1], rows[:at]]))",
        ),
        (f"{PREDICTIONS}::test_a_row_has_the_same_bits_in_any_company_and_from_the_service",),
    ),
    Mutant(
        "predicted-on-the-callers-threads",
        "a prediction has the bits of as many threads as the process happens to have",
        edit_once(
            "models/checkpoint_module.py",
            'threads = CONFIG.get("threads", threads_before)',
            "threads = threads_before",
        ),
        (f"{PREDICTIONS}::test_a_net_computes_on_the_threads_of_its_training",),
    ),
    Mutant(
        "sampled-from-the-global-generator",
        "a text depends on what the process has drawn before",
        edit_once(
            TEXT,
            "torch.multinomial(probabilities, 1, generator=generator)",
            "torch.multinomial(probabilities, 1)",
        ),
        (f"{PREDICTIONS}::test_a_text_is_a_function_of_prompt_options_and_seed_alone",),
    ),
    Mutant(
        "nets-held-for-ever",
        "the memory of an answering process grows with every net that was asked for",
        edit_once(
            "ticks/answers/nets.py",
            "while self._nets and self.bytes > max_bytes:",
            "while self._nets and max_bytes < 0:",
        ),
        (f"{ANSWERS}::test_nets_are_held_within_a_bound_and_the_one_used_least_recently_goes",),
    ),
    Mutant(
        "damaged-net-answers",
        "a checkpoint whose file has other bytes than were saved is answered with",
        edit_once("ticks/answers/nets.py", "if sha256 != saved_sha256:", "if not sha256:"),
        (f"{ANSWERS}::test_a_net_whose_file_has_other_bytes_is_not_used",),
    ),
    Mutant(
        "evaluated-in-other-blocks",
        "an evaluation adds its losses in other blocks than a validation does",
        edit_once(
            "ticks/answers/evaluation.py",
            "rows.slice(0, whole).blocks()",
            "(rows.slice(at, at + 64) for at in range(0, whole, 64))",
        ),
        (f"{ANSWERS}::test_an_evaluation_has_the_metrics_of_a_validation_on_the_same_rows",),
    ),
)
