"""Chains of elementwise operators have torch's bits, whatever they are made of and how long.

Their kernels are compared with torch's own operators; what is not a chain stays torch's call.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.spec import training
from tests.needs import CPP_COMPILER, needs
from tests.support import ROOT
from tests.training_records import CPU, read_small_spec, run_and_record
from ticks import machine
from ticks.engines.graph import chain_check, elementwise, loop
from ticks.engines.graph.fusion import ChainCall, Fusion, Template
from ticks.engines.graph.program import ProgramWriter, without_views
from ticks.engines.graph.recording import Boundary, OperatorTracer, Trace
from ticks.engines.graph.schedule import advance_boundary
from ticks.optimizers import make_optimizer, make_update_rule
from ticks.training import TrainingRun

pytestmark = needs(CPP_COMPILER)

LENGTHS = (*range(1, 71), 255, 1023, 1025, 16383, 16384, 16385, 33333, 65537, 99999)
SETTINGS: dict[str, training.OptimizerSpec] = {
    "adamw": training.AdamW(name="adamw"),
    "adamw, all decay": training.AdamW(name="adamw", weight_decay=0.1, decay="all"),
    "adamw, near average": training.AdamW(name="adamw", betas=(0.3, 0.99)),
    "adam": training.Adam(name="adam", weight_decay=0.1, decay="all"),
    "sgd": training.Sgd(name="sgd", lr=0.1),
    "sgd, Nesterov": training.Sgd(
        name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
}


def record(run: Callable[[], object]) -> Trace:
    trace = Trace()
    with torch.no_grad(), OperatorTracer(trace):
        run()
    return trace


def find_chains(trace: Trace) -> list[Any]:
    """The events with all chains that could be, whatever their bits."""
    fusion = Fusion(frozenset(), {}, lambda _: False, lambda _: True)
    return fusion.apply(advance_boundary(list(without_views(trace.events)), frozenset()))


def update(settings: training.OptimizerSpec) -> Callable[[], object]:
    """The second update of an optimizer's parameters, and what comes before."""
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in ((3, 4), (5,), (1,))]
    optimizer, rule = make_optimizer(settings, parameters), make_update_rule(settings)
    gradients = [torch.randn_like(parameter) for parameter in parameters]
    rule.apply(optimizer, gradients, rule.step_scalars(0.01, 1))
    return lambda: rule.apply(optimizer, gradients, rule.step_scalars(0.01, 2))


def others() -> Callable[[], object]:
    """The operators of a tick that are not of an optimizer, one after another."""
    a, b, number = torch.ones(9), torch.ones(9), torch.tensor(0.3)

    def run() -> None:
        torch._foreach_mul_([a, b], number)
        torch.relu(a), torch.ops.aten.threshold_backward(a, b, 0), a * 0.25, a * b
        a.add_(b), torch.add(a, b, alpha=0.7)
        a.div_(0.9), a.mul_(b), b.mul_(0.3)

    return run


def templates(run: Callable[[], object]) -> Iterator[Template]:
    events = find_chains(record(run))
    assert all(isinstance(event, ChainCall) for event in events), events
    yield from (event.template for event in events)


def find_differences(name: str, lengths: Sequence[int]) -> list[str]:
    run = update(SETTINGS[name]) if name in SETTINGS else others()
    differences = []
    for template in templates(run):
        values = [chain_check.sample(index, sum(lengths)) for index in range(template.tensors)]
        differences.append(chain_check.find_difference(template, values, lengths))
    return [difference for difference in differences if difference]


@pytest.mark.parametrize("name", [*SETTINGS, "others"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_chain_of_any_length_has_the_bits_of_torchs_operators(name: str, threads: int) -> None:
    machine.configure_torch(threads)
    try:
        assert find_differences(name, LENGTHS) == []
    finally:
        machine.configure_torch(1)


def test_chains_have_the_bits_of_torchs_kernels_without_fused_products() -> None:
    """Those of a processor without AVX2; torch chooses once a process."""
    code = (
        "from tests.test_ticks_graph_chains import *\n"
        "for name in [*SETTINGS, 'others']:\n"
        "    assert find_differences(name, range(1, 71)) == []\n"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def draw_run(number: int) -> tuple[list[Tensor], Callable[[], object]]:
    """Tensors, some of which share memory or lie otherwise, and a run of operators on them."""
    draw = random.Random(number)
    torch.manual_seed(number)
    base = torch.randn(6, 4)
    pool = [torch.randn(6, 4) for _ in range(4)]
    pool += [base, base[1:5], torch.randn(4, 6).t(), torch.randn(24), torch.randn(())]
    calls = [(draw.randrange(6), draw.choices(range(len(pool)), k=3)) for _ in range(14)]

    def run() -> None:
        temporary = list(pool)
        for kind, (i, j, k) in calls:
            a, b = temporary[i], temporary[j] if pool[j].shape == pool[i].shape else temporary[i]
            if kind == 0:
                torch._foreach_mul_([a, temporary[k]], 0.5)
            elif kind == 1:
                torch._foreach_mul_([b], pool[-1])
            elif kind == 2:
                a.add_(b, alpha=0.3)
            elif kind == 3:
                temporary[i] = torch.add(a, b)
            elif kind == 4:
                torch._foreach_lerp_([a], [b], 0.1)
            else:
                pool[k].copy_(torch.relu(temporary[k]))

    return pool, run


@torch.no_grad()
def set_to(tensors: list[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


@pytest.mark.parametrize("number", range(40))
def test_a_drawn_run_of_operators_leaves_what_torch_leaves(number: int) -> None:
    pool, run = draw_run(number)
    trace = record(run)
    others = [torch.randn_like(tensor) for tensor in pool]  # the program has to compute anew
    set_to(pool, others)
    run()
    expected = [tensor.clone() for tensor in pool]
    set_to(pool, others)
    outputs = [trace.layout_of(tensor) for tensor in pool]
    writer = ProgramWriter(trace, {}, outputs)
    head = [f"loss t{writer.register(outputs[-1])}"]
    program = loop.LoadedProgram(writer.render(head) + "\ncut\ncut", writer.tensors())
    zero = np.zeros(1, np.int64)
    loop.run_programs(
        [program],
        loop.TickArguments(
            program=zero, first=zero, rows=None, seeds=np.zeros((1, 1), np.uint64),
            numbers=np.zeros((1, 1)),
        ),
    )  # fmt: skip
    assert all(map(torch.equal, pool, expected)), program.text
    assert "chain" in program.text


def test_what_has_to_be_done_whatever_the_loss_is_stays_before_the_update() -> None:
    state, buffer, gradient = torch.ones(3), torch.ones(3), torch.ones(3)
    trace = Trace()
    with torch.no_grad(), OperatorTracer(trace):
        read_later, own = gradient.clone(), gradient.clone()
        state.mul_(0.5)
        read_later.mul_(2.0)
        own.mul_(3.0)
        trace.add_boundary()
        state.add_(own, alpha=0.1)
        trace.add_boundary()
        buffer.copy_(read_later)
    events = find_chains(trace)
    boundaries = [index for index, event in enumerate(events) if isinstance(event, Boundary)]
    steps = [
        [
            step.kernel
            for event in part
            if isinstance(event, ChainCall)
            for step in event.template.steps
        ]
        for part in (events[: boundaries[0]], events[boundaries[0] : boundaries[1]])
    ]
    assert steps == [["multiply", "multiply"], ["multiply", "add"]]


def test_all_of_an_update_and_of_clipping_is_in_chains() -> None:
    spec = read_small_spec(
        optimizer={"name": "adamw"}, clip_norm=0.5, micro_batches=2, budget={"ticks": 3}
    )
    machine.configure_torch(1)
    run_and_record(run := TrainingRun(spec, CPU, engine="graph"))
    for program in run.engine._programs.values():
        update = program.text.split("\ncut")[1].strip()
        assert "add_quotient" in update and "multiply:o0:I0:o" in update
        assert "_foreach_" not in update


def test_a_chain_that_differs_from_torch_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lerp = torch.ops.aten._foreach_lerp_.Scalar
    monkeypatch.setitem(elementwise.FORMS, lerp, elementwise.Form("add", (0, 1), 2))
    spec = read_small_spec(optimizer={"name": "adam"}, budget={"ticks": 5})
    machine.configure_torch(1)
    run = TrainingRun(spec, CPU, engine="graph")
    assert run_and_record(run) == run_and_record(TrainingRun(spec, CPU, engine="eager"))
    (program,) = run.engine._programs.values()
    assert "call aten::_foreach_lerp_ Scalar" in program.text
    assert "_foreach_lerp_.Scalar" in caplog.text
