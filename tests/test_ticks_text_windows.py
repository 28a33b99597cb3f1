"""The rows of a text: its tokens, which windows are trained on, in which order, in what memory."""

from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.sampling.permutations import HeldOutSplit, IndexPermutation, Numbers
from tests.texts import lm_spec, random_text, text_facts, write_texts
from tests.training_records import CPU
from ticks.data import text_windows as texts
from ticks.data import tokens as reading
from ticks.data.dataset_files import DamagedDataset
from ticks.data.text_windows import TextWindows
from ticks.data.tokens import ByteTokens, CharacterTokens, WrongText


def everything(count: int) -> Numbers:
    return np.arange(count, dtype=np.int64)


@pytest.mark.parametrize("count", [*range(1, 40), 255, 256, 257, 9973, 65_536])
def test_an_order_has_every_number_once(count: int) -> None:
    permuted = IndexPermutation(count, key=count * 7919)(everything(count))
    assert sorted(permuted.tolist()) == list(range(count))


def test_an_order_of_more_rows_than_fit_into_memory_is_computed_where_it_is_asked() -> None:
    count = 2**40 + 17
    numbers = np.concatenate([everything(1000), count - 1 - everything(1000)])
    permuted = IndexPermutation(count, 5)(numbers)
    assert len(set(permuted.tolist())) == 2000
    assert permuted.min() >= 0 and permuted.max() < count and len(np.unique(permuted >> 36)) >= 15
    assert np.array_equal(IndexPermutation(count, 5)(numbers[300:310]), permuted[300:310])


def test_every_order_of_four_rows_comes_about_as_often() -> None:
    seen = dict.fromkeys(permutations(range(4)), 0)
    for key in range(4800):
        seen[
            tuple(IndexPermutation(4, key * 0x2545F4914F6CDD1D % 2**64)(everything(4)).tolist())
        ] += 1
    # 200 expected, 14 the deviation of each
    assert min(seen.values()) > 130 and max(seen.values()) < 270


def test_neighbours_are_scattered_and_each_place_is_as_likely() -> None:
    count = 1000
    orders = np.stack([IndexPermutation(count, key << 32)(everything(count)) for key in range(200)])
    assert abs(np.corrcoef(orders[:, :-1].ravel(), orders[:, 1:].ravel())[0, 1]) < 0.01
    tenths = np.histogram(orders[:, 0], bins=10, range=(0, count))[0]
    assert tenths.min() > 5 and tenths.max() < 40  # 20 expected
    fixed = (orders == everything(count)).sum(axis=1)
    assert 0.7 < fixed.mean() < 1.3


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 400), st.floats(0.001, 0.5), st.integers(0, 2**64 - 1))
def test_a_split_has_every_row_on_one_side_in_order(count: int, share: float, key: int) -> None:
    held = max(1, int(count * share))
    split = HeldOutSplit(count, held, key)
    out = split.held_out(everything(held)).tolist()
    training_rows = split.training(everything(count - held)).tolist()
    assert out == sorted(out) and training_rows == sorted(training_rows)
    assert sorted(out + training_rows) == list(range(count))


def test_the_key_chooses_which_rows_are_held_out() -> None:
    chosen = np.stack([HeldOutSplit(1000, 100, key).held_out(everything(100)) for key in range(50)])
    assert (chosen // 10 == everything(100)).all()  # one of each stretch of ten
    assert np.bincount((chosen % 10).ravel()).min() > 400  # 500 expected


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=2, max_size=200), st.data())
def test_tokens_are_the_texts_bytes_or_its_characters(text: str, data: st.DataObject) -> None:
    text = text.encode(errors="ignore").decode() + "é."
    facts = text_facts(text)
    first = data.draw(st.integers(0, len(text) - 1))
    count = data.draw(st.integers(1, len(text) - first))
    with TemporaryDirectory() as folder:
        file = write_texts(Path(folder), text=text) / "text.txt"
        read = ByteTokens(file, facts, facts.vocabulary).read(first, count)
        assert bytes(read.tolist()) == text.encode()[first : first + count]
        for stride in (1, 3, 1024):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(reading, "INDEX_STRIDE", stride)
                patch.setattr(reading, "SCAN_BYTES", 7)
                read = CharacterTokens(file, facts, facts.vocabulary).read(first, count)
            decoded = "".join(facts.vocabulary[number] for number in read.tolist())
            assert decoded == text[first : first + count]


@pytest.mark.parametrize("tokenizer", [ByteTokens, CharacterTokens])
def test_a_byte_order_mark_before_a_text_is_no_token(
    tokenizer: type[ByteTokens] | type[CharacterTokens], tmp_path: Path
) -> None:
    text = random_text(3000)
    facts = text_facts(text)
    plain, marked = tmp_path / "plain.txt", tmp_path / "marked.txt"
    plain.write_text(text)
    marked.write_text("\ufeff" + text)

    expected = tokenizer(plain, facts, facts.vocabulary).read(1500, 1000)
    marked_facts = facts.model_copy(update={"skipped": 3})
    tokens = tokenizer(marked, marked_facts, facts.vocabulary).read(1500, 1000)
    assert np.array_equal(tokens, expected)


def test_a_file_that_is_not_the_profiles_text_is_refused(tmp_path: Path) -> None:
    facts = text_facts("one é two")
    for other in ("another length", "two é ohe", "one  ee  t"):
        file = write_texts(tmp_path, text=other) / "text.txt"
        with pytest.raises(WrongText):
            CharacterTokens(file, facts, facts.vocabulary).read(0, 9)


@pytest.mark.parametrize("other", ["abcabcabd" * 3, "abc"])
def test_a_file_of_other_bytes_than_were_uploaded_is_refused(other: str, tmp_path: Path) -> None:
    spec = lm_spec(text="abcabcabc" * 3, batch_size=1)
    write_texts(tmp_path, text=other)
    with pytest.raises(DamagedDataset):
        texts.load_text(spec, CPU, tmp_path)


def opened(folder: Path, text: str, **changes: object) -> tuple[TextWindows, TextWindows | None]:
    write_texts(folder, text=text)
    return texts.load_text(lm_spec(text=text, **changes), CPU, folder)[:2]


def test_a_row_is_a_window_and_its_targets_are_one_token_later(tmp_path: Path) -> None:
    text = "0123456789abcdefgh"  # 18 bytes: two windows of 8 and one byte more
    training, held_out = opened(tmp_path, text, batch_size=2)
    rows = training.take(everything(2))
    assert held_out is None and rows.inputs.dtype == rows.targets.dtype == torch.int64
    assert [bytes(row) for row in rows.inputs.tolist()] == [b"01234567", b"89abcdef"]
    assert [bytes(row) for row in rows.targets.tolist()] == [b"12345678", b"9abcdefg"]


def test_an_epoch_has_every_training_window_once_and_no_held_out_one(tmp_path: Path) -> None:
    text = random_text(600, alphabet="abcdefgh")
    training, held_out = opened(tmp_path, text, validation={"fraction": 0.2}, batch_size=7)
    assert held_out is not None
    batches = training.batches(7, seed=3, shuffle=True)
    batches_per_epoch = -(-training.count // 7)

    def seen(epoch: int) -> list[bytes]:
        ticks = range(1 + epoch * batches_per_epoch, 1 + (epoch + 1) * batches_per_epoch)
        return [bytes(row) for tick in ticks for row in batches.batch(tick).inputs.tolist()]

    trained_windows = [bytes(row) for block in training.blocks() for row in block.inputs.tolist()]
    out = [bytes(row) for block in held_out.blocks() for row in block.inputs.tolist()]
    windows = [text.encode()[at : at + 8] for at in range(0, 592, 8)]
    assert sorted(trained_windows + out) == sorted(windows) and len(out) == 14
    assert sorted(seen(0)) == sorted(seen(1)) == sorted(trained_windows)
    assert seen(0) != seen(1) and seen(0) != trained_windows


def test_without_shuffling_windows_come_in_the_texts_order(tmp_path: Path) -> None:
    training, _ = opened(tmp_path, random_text(600, "abcdefgh"), batch_size=7)
    batches = training.batches(7, seed=3, shuffle=False)
    rows = torch.cat([batches.batch(tick).inputs.clone() for tick in range(1, 12)])
    whole = torch.cat([block.inputs.clone() for block in training.blocks()])
    assert torch.equal(rows, whole)


def test_a_batch_is_a_function_of_the_tick_and_lies_at_one_aligned_place(tmp_path: Path) -> None:
    training, _ = opened(tmp_path, random_text(600), batch_size=7)
    batches = training.batches(7, seed=3, shuffle=True)
    late = batches.batch(25).inputs.clone()
    places = {batches.batch(tick).inputs.data_ptr() for tick in range(1, 25)}
    assert torch.equal(batches.batch(25).inputs, late)
    assert len(places) == 1 and places.pop() % 64 == 0


def test_a_second_text_is_read_in_the_firsts_characters(tmp_path: Path) -> None:
    text, other = random_text(100), random_text(50, "😀é\n", seed=2)
    write_texts(tmp_path, text=text, other=other)
    spec = lm_spec(
        text=text,
        other=other,
        model={"vocabulary": "characters"},
        validation={"id": "ds_" + "b" * 26},
    )
    _, held_out, _ = texts.load_text(spec, CPU, tmp_path)
    assert held_out is not None
    ids = torch.cat([block.inputs.flatten() for block in held_out.blocks()]).tolist()
    assert "".join(sorted(set(text))[number] for number in ids) == other[:48]
