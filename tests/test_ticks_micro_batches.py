"""A tick's gradient as a tree over its parts; clipping and the recorded norm."""

import pytest
import torch
from torch import Tensor

from tests.native_specs import backward
from tests.training_records import read_small_spec, run_and_record, start_training
from ticks.data.batches import TensorRows
from ticks.micro_batches import part_bounds, sum_tree

#: five numbers whose float32 sum depends on the order of the additions
VALUES = [torch.tensor(value) for value in (0.1, 3e7, -3e7, 0.7, 1e-3)]


def summed(parts: int) -> Tensor:
    (total,) = sum_tree(lambda part: [VALUES[part].clone()], 0, parts)
    return total


def test_the_tree_is_balanced_and_its_order_fixed() -> None:
    a, b, c, d, e = VALUES
    assert torch.equal(summed(2), a + b)
    assert torch.equal(summed(3), (a + b) + c)
    assert torch.equal(summed(4), (a + b) + (c + d))
    assert torch.equal(summed(5), ((a + b) + c) + (d + e))
    assert not torch.equal(summed(4), ((a + b) + c) + d)  # the values tell orders apart


def test_rows_are_cut_into_equal_parts_the_first_ones_longer() -> None:
    assert part_bounds(8, 4) == [(0, 2), (2, 4), (4, 6), (6, 8)]
    assert part_bounds(7, 3) == [(0, 3), (3, 5), (5, 7)]
    assert part_bounds(2, 4) == [(0, 1), (1, 2)]


def quadratic() -> tuple[Tensor, TensorRows]:
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(6, generator=generator).requires_grad_()
    return weight, TensorRows(torch.randn(7, 6, generator=generator), torch.zeros(7))


def gradient(parts: int) -> tuple[float, Tensor]:
    weight, rows = quadratic()
    loss = backward(lambda part, _: (part.inputs @ weight).square().mean(), rows, parts, [weight])
    assert weight.grad is not None
    return loss.item(), weight.grad


@pytest.mark.parametrize("parts", [2, 3, 4, 7, 20])
def test_parts_weighted_by_rows_give_the_gradient_of_the_whole(parts: int) -> None:
    loss, whole = gradient(1)
    loss_of_parts, of_parts = gradient(parts)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)
    assert torch.allclose(of_parts, whole, rtol=1e-5, atol=1e-6)


def test_parts_are_other_bits_than_the_whole_and_the_same_every_time() -> None:
    whole, halves = (
        run_and_record(start_training(read_small_spec(micro_batches=parts))) for parts in (1, 2)
    )
    assert whole.columns != halves.columns
    assert halves == run_and_record(start_training(read_small_spec(micro_batches=2)))


def test_a_part_never_sees_the_rows_of_another_so_layer_norm_keeps_the_sum() -> None:
    one, four = (
        run_and_record(start_training(read_small_spec(micro_batches=parts)), until=1)
        for parts in (1, 4)
    )
    a, b = (
        torch.frombuffer(bytearray(record.columns["loss"]), dtype=torch.float32)
        for record in (one, four)
    )
    assert torch.allclose(a, b, rtol=1e-6)


def norms(**changes: object) -> bytes:
    return run_and_record(
        start_training(read_small_spec(record=["loss", "grad_norm"], **changes))
    ).columns["grad_norm"]


def test_the_recorded_norm_is_that_of_the_whole_gradient() -> None:
    training = start_training(read_small_spec(record=["loss", "grad_norm"]))
    recorded = training.run(1).chunk.columns["grad_norm"][0]
    squares = sum(float(p.grad.double().square().sum()) for p in training.trainer.parameters)
    assert recorded == pytest.approx(squares**0.5, rel=1e-6)


def test_clipping_bounds_the_update_and_the_norm_is_recorded_before_it() -> None:
    sgd = {"name": "sgd", "lr": 1.0}
    training = start_training(
        read_small_spec(optimizer=sgd, clip_norm=0.01, record=["loss", "grad_norm"])
    )
    before = [p.detach().clone() for p in training.trainer.parameters]
    recorded = training.run(1).chunk.columns["grad_norm"][0]
    pairs = zip(before, training.trainer.parameters, strict=True)
    moved = sum(float((old - new.detach()).double().square().sum()) for old, new in pairs)
    assert recorded > 0.1 and moved**0.5 == pytest.approx(0.01, rel=1e-3)


def test_a_bound_that_is_never_reached_changes_no_bit_of_the_norms() -> None:
    assert norms() == norms(clip_norm=1e9) != norms(clip_norm=0.01)


def test_each_part_of_a_tick_and_each_block_of_an_evaluation_is_a_sign_of_life() -> None:
    spec = read_small_spec(
        batch_size=8, micro_batches=4, validation={"fraction": 0.25}, compute={"engine": "eager"}
    )
    training, signs = start_training(spec), []
    training.trainer.show_progress = lambda: signs.append(training.ticks_done)
    training.run(2)
    assert signs == [0] * 4 + [1] * 4
    training.validate()
    assert signs[8:] == [2]
