"""Two silent faults of torch's compiler: why no engine of ours uses it, and why each has a gate.

Each test shows whether this torch has the fault, and that our engines compute right what it spoils:
the update of SGD, and Adam's count of its steps.
"""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.needs import needs
from tests.training_records import CPU, read_small_spec, run_and_record
from ticks import machine
from ticks.engines.selection import available_engines
from ticks.training import TrainingRun

pytestmark = [pytest.mark.slow, needs("g++")]  # torch's compiler needs it

#: a version of torch that is tried anew says here whether it still has the faults
IS_FAULTY = torch.__version__.startswith("2.13.")


def compiled(function: Callable[..., Any], *given: Any, times: int = 1) -> Any:
    """What a function gives when torch has compiled it (in this process), called so often."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch._inductor.config  # here: every process of the suite reads this file

        torch._dynamo.reset()
        with torch._inductor.config.patch(compile_threads=1):
            compiled_function = torch.compile(function, fullgraph=True, dynamic=False)
            return [compiled_function(*given) for _ in range(times)][-1]


def spoils_alpha() -> bool:
    """Whether the compiler drops alpha where what is added is a matrix product."""
    generator = torch.Generator().manual_seed(0)
    p, a, b = (torch.randn(*shape, generator=generator) for shape in ((50, 10), (50, 1), (1, 10)))

    def update(p: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return p.add(a @ b, alpha=-0.01)

    return not torch.allclose(compiled(update, p, a, b), update(p, a, b), atol=1e-6)


def spoils_counters() -> bool:
    """Whether the compiler drops an update of a float64 number in place."""
    counter = torch.zeros((), dtype=torch.float64)

    def count(counter: Tensor) -> Tensor:
        counter.add_(1)
        return counter * 2

    compiled(count, counter, times=3)
    return counter.item() != 3


def engines_agree(**changes: Any) -> bool:
    """Whether graph and eager tell the same of a training, bit for bit."""
    machine.configure_torch(1)
    spec = read_small_spec(**changes)
    both = [run_and_record(TrainingRun(spec, CPU, engine=engine)) for engine in ("eager", "graph")]
    return both[0] == both[1]


def moved_by_the_rate() -> bool:
    """Whether SGD's first update is the rate times the gradient."""
    machine.configure_torch(1)
    training = TrainingRun(
        read_small_spec(optimizer={"name": "sgd", "lr": 0.01}), CPU, engine="eager"
    )
    before = [p.detach().clone() for p in training.trainer.parameters]
    training.run(1)
    pairs = zip(before, training.trainer.parameters, strict=True)
    return all(torch.allclose(old - 0.01 * new.grad, new, atol=1e-7) for old, new in pairs)


def test_an_update_by_a_matrix_product_keeps_its_rate_in_our_engines() -> None:
    assert spoils_alpha() == IS_FAULTY
    assert moved_by_the_rate()
    if "graph" in available_engines():
        assert engines_agree(optimizer={"name": "sgd", "lr": 0.01})


def test_adams_steps_are_counted_in_our_engines() -> None:
    assert spoils_counters() == IS_FAULTY
    machine.configure_torch(1)
    training = TrainingRun(read_small_spec(optimizer={"name": "adam"}), CPU, engine="eager")
    training.run(7)
    state = training.trainer.optimizer.state[training.trainer.parameters[0]]
    assert state["step"].item() == 7
    if "graph" in available_engines():
        assert engines_agree(optimizer={"name": "adam"})
