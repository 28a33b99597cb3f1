"""A job killed at a tick goes on to the same bits; at every tick of 200: `make every-tick`."""

from collections.abc import Iterator

import pytest

from faults.every_tick import DEFAULT_TICKS, Bits, JobRuns, count_differing_bits, open_runs

#: the first, the last; the last of an epoch (6 ticks), a checkpoint, a validation, and the next
AT = (1, 6, 7, 40, 41, 50, 51, 200)


@pytest.fixture(scope="module")
def ours() -> Iterator[JobRuns]:
    with open_runs() as running:
        yield running


@pytest.fixture(scope="module")
def straight(ours: JobRuns) -> Bits:
    return ours.run_undisturbed(DEFAULT_TICKS)


@pytest.mark.parametrize("tick", AT)
def test_a_trainer_killed_at_a_tick_changes_no_bit(
    ours: JobRuns, straight: Bits, tick: int
) -> None:
    assert count_differing_bits(straight, ours.run_killed_at(tick, DEFAULT_TICKS)) == 0


def test_every_recorded_quantity_is_compared(straight: Bits) -> None:
    assert len(straight["loss"]) == len(straight["grad_norm"]) == 4 * DEFAULT_TICKS
    assert {"val_loss", "val_accuracy", "state"} <= straight.keys()
    assert {
        f"{DEFAULT_TICKS}/model.safetensors",
        f"{DEFAULT_TICKS}/state.safetensors",
    } <= straight.keys()


def test_a_difference_of_one_bit_is_seen(straight: Bits) -> None:
    for name, bits in straight.items():
        off = bits[:-1] + bytes([bits[-1] ^ 1])
        assert count_differing_bits(straight, straight | {name: off}) == 1
        less = {other: value for other, value in straight.items() if other != name}
        assert (
            count_differing_bits(straight, less)
            == count_differing_bits(less, straight)
            == 8 * len(bits)
        )
        assert count_differing_bits(straight, straight | {name: bits[:-1]}) == 8 * len(bits)
