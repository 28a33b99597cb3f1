"""A text's rows: windows of its tokens, read from its file one batch at a time.

Row i has the tokens i*window … (i+1)*window - 1 as inputs, and as targets the tokens one later. The
order and the split of rows are computed, never stored, so a text of any length takes the same
memory. Rows are copied into one buffer: a batch is valid until the next call.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from jobs.datasets.formats.damage import StoredPath
from jobs.datasets.formats.joined_file import locate
from jobs.sampling.batches import batch_bounds, count_epoch_rows
from jobs.sampling.permutations import IndexPermutation, Numbers
from jobs.sampling.seeds import derive_seed
from jobs.spec.data import EXAMPLES_FOLDER, ExampleData, SyntheticData
from jobs.spec.dataset_binding import DataFile
from jobs.spec.job_spec import JobSpec
from jobs.spec.text import vocabulary_of
from jobs.spec.window_split import RowMap, split_windows
from ticks.data.batches import BatchRange, TensorRows
from ticks.data.dataset_files import Announce, ignore_phase, read_with_checksum
from ticks.data.synthetic_text import SyntheticText
from ticks.data.tokens import TOKENIZERS, Ids

#: tokens validated at a time: constant, because the result's bits depend on it
EVAL_BLOCK_TOKENS = 4096


class TokenSource(Protocol):
    """A text as token ids."""

    def read(self, first: int, count: int) -> Ids:
        """Return `count` tokens from token `first` (from 0) on, [count]."""
        ...


class TextWindows:
    """`count` rows of a text, as RowSource.

    `map_numbers` maps this object's row numbers, 0 … count - 1, to rows of the text.
    """

    def __init__(
        self,
        tokens: TokenSource,
        window: int,
        count: int,
        device: torch.device,
        map_numbers: Callable[[Numbers], Numbers] = lambda numbers: numbers,
    ) -> None:
        self.tokens, self.window, self.count, self.device = tokens, window, count, device
        self._map_numbers, self._buffer = map_numbers, self._empty_rows(0)

    def take(self, numbers: Numbers) -> TensorRows:
        """Copy the rows of these numbers [n] into the buffer, in this order, as [n, window]."""
        if len(self._buffer.inputs) < len(numbers):
            self._buffer = self._empty_rows(len(numbers))
        batch = self._buffer.slice(0, len(numbers))
        self._copy(numbers, batch)
        return batch.to(self.device)

    def take_copy(self, numbers: Numbers) -> TensorRows:
        """Copy the rows of these numbers [n] into fresh memory, in this order, as [n, window]."""
        rows = self._empty_rows(len(numbers))
        self._copy(numbers, rows)
        return rows.to(self.device)

    def batches(
        self, size: int, *, seed: int, shuffle: bool, drop_last: bool = False
    ) -> "TextBatches":
        """Return the batches of `size` rows of a training on these rows."""
        return TextBatches(self, size, seed=seed, shuffle=shuffle, drop_last=drop_last)

    def blocks(self) -> Iterator[TensorRows]:
        """Yield all rows in order, EVAL_BLOCK_TOKENS at a time, each block valid until the next."""
        size = max(1, EVAL_BLOCK_TOKENS // self.window)
        for first in range(0, self.count, size):
            yield self.take(np.arange(first, min(first + size, self.count)))

    def _copy(self, numbers: Numbers, target: TensorRows) -> None:
        inputs, targets = target.inputs.numpy(), target.targets.numpy()
        for index, row in enumerate(self._map_numbers(numbers).tolist()):
            tokens = self.tokens.read(row * self.window, self.window + 1)
            inputs[index], targets[index] = tokens[:-1], tokens[1:]

    def _empty_rows(self, rows: int) -> TensorRows:
        return TensorRows(*(torch.zeros((rows, self.window), dtype=torch.int64) for _ in range(2)))


class TextBatches:
    """The batches of a text's rows. An epoch has every row once; its last batch may be short.

    With `drop_last` a short one is left out: an epoch has `epoch_rows` of the rows, whole batches.
    """

    def __init__(
        self, rows: TextWindows, size: int, *, seed: int, shuffle: bool, drop_last: bool = False
    ) -> None:
        self.rows, self.size, self.seed, self.shuffle = rows, size, seed, shuffle
        self.epoch_rows = count_epoch_rows(rows.count, size, drop_last=drop_last)

    def batch(self, tick: int) -> TensorRows:
        """Return the batch of a tick (from 1), valid until the next call."""
        return self.rows.take(self._row_numbers(tick, tick))

    def batch_range(self, first: int, last: int) -> BatchRange:
        """Return the batches of ticks first to last (from 1, both included)."""
        _, _, counts = batch_bounds(first, last, self.epoch_rows, self.size)
        rows = self.rows.take_copy(self._row_numbers(first, last))
        return BatchRange(rows, np.cumsum(counts) - counts, counts)

    def _row_numbers(self, first: int, last: int) -> Numbers:
        """Return the row numbers of ticks first to last, int64 [rows of all their batches]."""
        epochs, firsts, counts = batch_bounds(first, last, self.epoch_rows, self.size)
        pieces = []
        for epoch, start, count in zip(epochs, firsts.tolist(), counts.tolist(), strict=True):
            numbers = np.arange(start, start + count)
            if self.shuffle:
                key = derive_seed("order", self.seed, epoch)
                numbers = IndexPermutation(self.rows.count, key)(numbers)
            pieces.append(numbers)
        return np.concatenate(pieces)


class TextParts(NamedTuple):
    """Windows to train on, to validate on and to test on; None where a spec holds none out."""

    training: TextWindows
    held_out: TextWindows | None
    test: TextWindows | None


def load_text(
    spec: JobSpec, device: torch.device, artifacts: Path | None, announce: Announce = ignore_phase
) -> TextParts:
    """Return the rows of the spec's text, split as it says.

    Rows to validate and to test on may be those of another text, read with the first one's
    vocabulary. An uploaded text is hashed first. Raises DamagedDataset or WrongText.
    """
    window, split = spec.profile.features, split_windows(spec)
    tokens = _open_text(spec, artifacts, announce)

    def side(count: int, row_map: RowMap) -> TextWindows:
        return TextWindows(tokens, window, count, device, row_map)

    def other_text(file: DataFile | None) -> TextWindows | None:
        if file is None:
            return None
        assert artifacts is not None, "where datasets lie is known"
        return _open_other_text(spec, file, device, artifacts, announce)

    files = (None, None) if spec.facts is None else (spec.facts.validation, spec.facts.test)
    held_out = side(spec.held_out_rows, split.held_out) if spec.held_out_rows else None
    test = side(spec.test_rows, split.test) if spec.test_rows else None
    return TextParts(
        side(spec.training_rows, split.training),
        held_out or other_text(files[0]),
        test or other_text(files[1]),
    )


def _open_text(spec: JobSpec, artifacts: Path | None, announce: Announce) -> TokenSource:
    text, vocabulary = spec.profile.text, vocabulary_of(spec.model)
    if isinstance(spec.data, SyntheticData):
        return SyntheticText(spec.data.seed, as_bytes=vocabulary == "bytes")
    assert text is not None, "the spec's data are a text"
    return TOKENIZERS[vocabulary](_text_file(spec, artifacts, announce), text, text.vocabulary)


def _open_other_text(
    spec: JobSpec, file: DataFile, device: torch.device, artifacts: Path, announce: Announce
) -> TextWindows:
    """Return all rows of a text to validate or to test on, in the tokens of the first text."""
    vocabulary, window = vocabulary_of(spec.model), spec.profile.features
    assert spec.profile.text is not None and file.text is not None, "both are texts"
    path = _check_file(artifacts, file, announce)
    tokens = TOKENIZERS[vocabulary](path, file.text, spec.profile.text.vocabulary)
    return TextWindows(tokens, window, file.text.count_rows(window, vocabulary), device)


def _text_file(spec: JobSpec, artifacts: Path | None, announce: Announce) -> StoredPath:
    if isinstance(spec.data, ExampleData):
        return EXAMPLES_FOLDER / f"{spec.data.name}.txt"
    assert artifacts is not None and spec.facts is not None, "where datasets lie is known"
    return _check_file(artifacts, spec.facts.data, announce)


def _check_file(artifacts: Path, data_file: DataFile, announce: Announce) -> StoredPath:
    """Return where a dataset lies, read once to check its hash; raises DamagedDataset."""
    path = locate(artifacts, data_file)
    for _ in read_with_checksum(path, data_file.sha256, announce):
        pass
    return path
