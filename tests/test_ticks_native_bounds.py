"""The native engine against torch's eager ticks and against float64, over generated specs.

The bound, over 64 ticks, relative to losses above 1: native lies within 1e-5 + 8 times eager's own
distance of float64, and within 1e-4 + 8 times that of eager. (Chaos drives all three apart.)
"""

from typing import NamedTuple

import pytest

from jobs.spec.job_spec import JobSpec
from tests.native_runs import QUICK, make_native, needs_compiler, objects_folder
from tests.native_specs import Float64Training, draw_spec, make_trainer, max_difference
from tests.training_records import read_small_spec
from ticks.engines.eager import EagerEngine
from ticks.engines.native import codegen
from ticks.engines.native.engine import NativeEngine

pytestmark = needs_compiler

TICKS = 64
NUMBERS = (0, 1, 2, 3, 4, 9, 11, 13, 16, 17)


class Distances(NamedTuple):
    """Largest relative differences of losses."""

    from_eager: float
    from_float64: float
    eager_from_float64: float

    @property
    def within(self) -> bool:
        """Whether the bound holds."""
        slack = 8 * self.eager_from_float64
        return self.from_float64 <= 1e-5 + slack and self.from_eager <= 1e-4 + slack


def distances(spec: JobSpec) -> Distances:
    ours = make_native(spec).run(TICKS).columns["loss"]
    eager = EagerEngine(make_trainer(spec), spec.record).run(TICKS).columns["loss"]
    exact = Float64Training(make_trainer(spec)).losses(TICKS)
    return Distances(
        max_difference(ours, eager), max_difference(ours, exact), max_difference(eager, exact)
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_native_is_as_near_to_float64_as_eager_is(number: int) -> None:
    measured = distances(draw_spec(number))

    assert measured.within, measured


def test_the_drawn_specs_have_every_term() -> None:
    specs = [draw_spec(number) for number in NUMBERS]

    assert {spec.model.norm for spec in specs} == {"layer", "rms", "group", "none"}
    assert len({spec.model.activation for spec in specs}) == 5
    assert {spec.optimizer.name for spec in specs} == {"sgd", "adam", "adamw"}
    decays = {(spec.optimizer.weight_decay > 0, spec.optimizer.decay) for spec in specs}
    assert decays >= {(True, "weights"), (True, "all")}
    assert {spec.objective for spec in specs} == {"mse", "cross_entropy"}
    assert {spec.clip_norm is None for spec in specs} == {True, False}
    assert {spec.micro_batches > 1 for spec in specs} == {True, False}
    assert {spec.batch_size > 1 for spec in specs} == {True, False}


WRONG = {
    "eps outside the root": ("layers", "1.0f / root(SUM(s) * share + EPS)",
                             "1.0f / (root(SUM(s) * share) + EPS)"),
    "the unbiased variance": ("layers", "root(SUM(s) * share + EPS)",
                              "root(SUM(s) / (size - 1) + EPS)"),
    "no way back through the mean": ("lines", "  if (of->centred) rest -= of->mean;\n", ""),
    "gelu by its approximation": ("layers", "error_function(y * 0.707106781f)",
                                  "hyperbolic_tangent(0.797884561f * (y + 0.044715f * y * y * y))"),
    "adam without its correction": ("optimizers", "rate / (1.0 - power(job->beta1, (long)step))",
                                    "rate"),
}  # fmt: skip
#: of many small inputs, so that a row's variance is small and the place of eps matters
CONTROL = {
    "model": {"family": "mlp", "hidden": [12], "activation": "gelu"},
    "data": {"source": "inline", "targets": [n % 3 - 0.5 for n in range(12)],
             "inputs": [[n * k % 7 / 1000 for k in range(400)] for n in range(12)]},
    "optimizer": {"name": "adamw", "lr": 0.002, "eps": 1e-3}, "batch_size": 4,
    "budget": {"ticks": TICKS},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_formula_breaks_the_bound(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_small_spec(**CONTROL)
    where, right, wrong = WRONG[what]
    template = codegen.read_template
    sound = distances(spec)
    assert sound.within, sound
    assert right in template(where)
    mutated = template(where).replace(right, wrong)
    monkeypatch.setattr(codegen, "read_template", lambda n: mutated if n == where else template(n))

    broken = distances(spec)

    assert not broken.within, broken


def test_gradient_norms_are_eager_s() -> None:
    spec = read_small_spec(record=["loss", "grad_norm"], micro_batches=3, clip_norm=0.25)
    ours = (
        NativeEngine(make_trainer(spec), spec.record, objects_folder(), QUICK)
        .run(20)
        .columns["grad_norm"]
    )
    eager = EagerEngine(make_trainer(spec), spec.record).run(20).columns["grad_norm"]

    assert max_difference(ours, eager) < 1e-5
