"""Mutants of the arithmetic: what a resume restores, where rules are read, what a norm computes."""

from faults.mutants.mutant import Edit, Mutant, edit_once

EXACT = "tests/test_ticks_exact_resume.py::test_resumed_at_any_tick_is_the_straight_training"
CONTROLS = "tests/test_ticks_resume_controls.py"
CHUNKS = "tests/test_ticks_chunks.py::test_the_length_of_chunks_changes_no_bit_and_no_decision"
VECTOR_MATH = (
    "tests/test_ticks_vector_math.py"
    "::test_the_vector_math_is_set_up_on_one_thread_before_there_can_be_two"
)
NORMS = "tests/test_models_norms.py"
#: a mark that only a load sets, so that a straight run of the mutant is the right one
AT = "    trainer.ticks_done = tick\n"
RESUMED = Edit("ticks/state.py", AT, f"{AT}    trainer.resumed = 1\n")
TICK = "            result = trainer.tick(trainer.batches.batch(trainer.ticks_done + 1))\n"
LAYER = "return F.layer_norm(x, (self.width,), self.weight, self.bias, self.eps)"
BY_HAND = "x.mean(-1, keepdim=True)) / {root} * self.weight + self.bias"


def _edit_after_load(file: str, old: str, new: str) -> tuple[Edit, ...]:
    return (RESUMED, Edit(file, old, new))


MUTANTS = (
    Mutant(
        "rng-off-by-one",
        "after a resume every tick draws the random numbers of the next one",
        _edit_after_load(
            "ticks/trainer.py",
            "self.ticks_done + 1, part_number)",
            'self.ticks_done + 1 + getattr(self, "resumed", 0), part_number)',
        ),
        (f"{EXACT}[momentum]",),
    ),
    Mutant(
        "data-off-by-one",
        "after a resume every tick takes the batch of the next one",
        _edit_after_load(
            "ticks/engines/eager.py",
            "trainer.batches.batch(trainer.ticks_done + 1)",
            'trainer.batches.batch(trainer.ticks_done + 1 + getattr(trainer, "resumed", 0))',
        ),
        (f"{EXACT}[momentum]",),
    ),
    Mutant(
        "tick-applied-twice",
        "the first tick after a resume is applied twice, on the same batch",
        _edit_after_load(
            "ticks/engines/eager.py",
            TICK,
            '            if trainer.__dict__.pop("resumed", 0):\n'
            "                trainer.tick(trainer.batches.batch(trainer.ticks_done + 1))\n"
            f"                trainer.ticks_done -= 1\n{TICK}",
        ),
        (f"{EXACT}[momentum]",),
        quick=True,
    ),
    Mutant(
        "validated-again",
        "a resume at a validated tick validates again",
        edit_once(
            "ticks/state_files.py",
            'training.validated_at = numbers["validated_at"]',
            "training.validated_at = None",
        ),
        (f"{CONTROLS}::test_a_resume_at_a_validated_tick_does_not_validate_again",),
    ),
    Mutant(
        "one-ulp-after-a-load",
        "a load leaves one weight one ulp off, which shows in no loss",
        edit_once(
            "ticks/state.py",
            AT,
            f"{AT}    if tick:\n"
            "        first = trainer.parameters[0].data.view(-1)\n"
            "        first[0] = torch.nextafter(first[0], torch.tensor(torch.inf))\n",
        ),
        (f"{EXACT}[momentum]",),
    ),
    Mutant(
        "optimizer-forgotten",
        "a resume begins with an optimizer that has seen nothing",
        edit_once("ticks/state.py", "in optimizer.items():", "in dict[str, Tensor]().items():"),
        (f"{EXACT}[momentum]",),
    ),
    Mutant(
        "patience-forgotten",
        "a resume begins its patience anew",
        edit_once(
            "ticks/state_files.py",
            'saved["best"], saved["best_tick"]',
            "None, 0",
        ),
        ("tests/test_ticks_exact_resume.py::test_a_resume_ends_where_the_straight_training_ends",),
    ),
    Mutant(
        "stop-rule-at-chunk-ends",
        "when a job stops hangs on how its ticks were cut into chunks",
        edit_once(
            "ticks/training.py",
            "periods = [self.spec.stop.check_every] if self.spec.stop.reads_loss else []",
            "periods: list[int] = []",
        ),
        (f"{CHUNKS}[patience with loss]",),
    ),
    Mutant(
        "vector-math-on-two-threads",
        "MKL's vector math chooses its kernels at the first tick, on two threads at once",
        edit_once("ticks/machine.py", "    set_up_vector_math()\n", ""),
        (f"{VECTOR_MATH}[build]",),
    ),
    Mutant(
        "rate-of-the-last-tick",
        "every tick takes the learning rate of the one before it",
        edit_once(
            "ticks/trainer.py",
            "self.spec.rate(self.ticks_done + 1)",
            "self.spec.rate(max(1, self.ticks_done))",
        ),
        ("tests/test_ticks_schedules.py::test_the_trainer_uses_the_rate_of_its_tick",),
    ),
    Mutant(
        "dropout-while-validating",
        "what is validated is not the net that is saved",
        edit_once("ticks/validation.py", "    trainer.net.eval()\n", ""),
        (CONTROLS,),
    ),
    Mutant(
        "layer-norm-unbiased",
        "LayerNorm divides by H - 1",
        edit_once(
            "models/norms.py",
            LAYER,
            "return (x - " + BY_HAND.format(root="(x.var(-1, keepdim=True) + self.eps).sqrt()"),
        ),
        (f"{NORMS}::test_layer_norm_is_the_formula",),
    ),
    Mutant(
        "layer-norm-eps-outside",
        "LayerNorm adds eps outside the root",
        edit_once(
            "models/norms.py",
            LAYER,
            "return (x - "
            + BY_HAND.format(root="(x.var(-1, keepdim=True, correction=0).sqrt() + self.eps)"),
        ),
        (f"{NORMS}::test_layer_norm_is_the_formula",),
    ),
)
