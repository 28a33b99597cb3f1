"""A text's rows: windows of its tokens, gathered from its file a batch at a time.

Row i is tokens i*window … (i+1)*window - 1, its targets the same one token later. Which rows a tick
trains on, and which are held out, is computed and never stored, so that a text of any length takes
the same memory. Rows are copied into one buffer: a batch is valid until the next is asked for.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from jobs.spec.data import EXAMPLES_FOLDER, ExampleData, SyntheticData
from jobs.spec.dataset_binding import DataFile
from jobs.spec.job_spec import JobSpec
from jobs.spec.text import vocabulary_of
from ticks.data.batches import BatchRange, TensorRows, batch_bounds
from ticks.data.permutations import HeldOutSplit, IndexPermutation, Numbers
from ticks.data.synthetic_text import SyntheticText
from ticks.data.tables import read_with_checksum
from ticks.data.tokens import TOKENIZERS, Ids
from ticks.seeds import derive_seed

#: tokens validated at a time, always: the bits of a result must not hang on anything else
EVAL_BLOCK_TOKENS = 4096


class TokenSource(Protocol):
    """A text as numbers."""

    def read(self, first: int, count: int) -> Ids:
        """Give `count` tokens from token `first` on."""
        ...


class TextWindows:
    """`count` rows of a text; `number` gives the row in the text of each of its own numbers."""

    def __init__(
        self,
        tokens: TokenSource,
        window: int,
        count: int,
        device: torch.device,
        map_numbers: Callable[[Numbers], Numbers] = lambda numbers: numbers,
    ) -> None:
        self.tokens, self.window, self.count, self.device = tokens, window, count, device
        self._map_numbers = map_numbers
        self._buffer = self._empty_rows(0)

    def take(self, numbers: Numbers) -> TensorRows:
        """Copy the rows of these numbers into the buffer, in this order."""
        if len(self._buffer.inputs) < len(numbers):
            self._buffer = self._empty_rows(len(numbers))
        batch = self._buffer.slice(0, len(numbers))
        self._copy(numbers, batch)
        return batch.to(self.device)

    def take_copy(self, numbers: Numbers) -> TensorRows:
        """Copy the rows of these numbers into memory of their own, in this order."""
        rows = self._empty_rows(len(numbers))
        self._copy(numbers, rows)
        return rows.to(self.device)

    def batches(self, size: int, *, seed: int, shuffle: bool) -> "TextBatches":
        """Return the batches of a training on these rows."""
        return TextBatches(self, size, seed=seed, shuffle=shuffle)

    def blocks(self) -> Iterator[TensorRows]:
        """All rows in order, some at a time; each block is valid until the next."""
        size = max(1, EVAL_BLOCK_TOKENS // self.window)
        for first in range(0, self.count, size):
            yield self.take(np.arange(first, min(first + size, self.count)))

    def _copy(self, numbers: Numbers, target: TensorRows) -> None:
        inputs, targets = target.inputs.numpy(), target.targets.numpy()
        for index, row in enumerate(self._map_numbers(numbers).tolist()):
            tokens = self.tokens.read(row * self.window, self.window + 1)
            inputs[index], targets[index] = tokens[:-1], tokens[1:]

    def _empty_rows(self, rows: int) -> TensorRows:
        shape = (rows, self.window)
        return TensorRows(
            torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
        )


class TextBatches:
    """The batch of every tick. An epoch is every row once; its last batch may be short."""

    def __init__(self, rows: TextWindows, size: int, *, seed: int, shuffle: bool) -> None:
        self.rows, self.size, self.seed, self.shuffle = rows, size, seed, shuffle
        self.batches_per_epoch = -(-rows.count // size)

    def batch(self, tick: int) -> TensorRows:
        """Return the batch of a tick (from 1)."""
        return self.rows.take(self._row_numbers(tick, tick))

    def batch_range(self, first: int, last: int) -> BatchRange:
        """Return the batches of ticks first to last."""
        _, _, counts = batch_bounds(first, last, self.rows.count, self.size)
        rows = self.rows.take_copy(self._row_numbers(first, last))
        return BatchRange(rows, np.cumsum(counts) - counts, counts)

    def _row_numbers(self, first: int, last: int) -> Numbers:
        """The rows' numbers of all batches of ticks first to last, one after another."""
        epochs, firsts, counts = batch_bounds(first, last, self.rows.count, self.size)
        pieces = []
        for epoch, start, count in zip(epochs, firsts.tolist(), counts.tolist(), strict=True):
            numbers = np.arange(start, start + count)
            if self.shuffle:
                numbers = IndexPermutation(self.rows.count, derive_seed("order", self.seed, epoch))(
                    numbers
                )
            pieces.append(numbers)
        return np.concatenate(pieces)


def load_text(
    spec: JobSpec,
    device: torch.device,
    artifacts: Path | None = None,
    announce: Callable[[str], None] = lambda _phase: None,
) -> tuple[TextWindows, TextWindows | None]:
    """Open the spec's text: the rows to train on, and those to validate on.

    The latter are chosen by the seed, or are all of a second text, read in the first one's tokens.
    An uploaded text is hashed first: raises DamagedDataset where it has other bytes.
    """
    text, window = spec.profile.text, spec.profile.features
    assert text is not None, "the spec's data are a text"
    vocabulary = vocabulary_of(spec.model)
    count, held_out_count = spec.training_rows, spec.held_out_rows
    if isinstance(spec.data, SyntheticData):
        tokens: TokenSource = SyntheticText(spec.data.seed, as_bytes=vocabulary == "bytes")
    else:
        tokens = TOKENIZERS[vocabulary](
            _text_file(spec, artifacts, announce), text, text.vocabulary
        )
    if held_out_count:
        split = HeldOutSplit(
            count + held_out_count, held_out_count, derive_seed("validation", spec.seed)
        )
        return (
            TextWindows(tokens, window, count, device, split.training),
            TextWindows(tokens, window, held_out_count, device, split.held_out),
        )
    validation_file = None if spec.facts is None else spec.facts.validation
    if validation_file is None:
        return TextWindows(tokens, window, count, device), None
    assert artifacts is not None and validation_file.text is not None, (
        "the second dataset is a text too"
    )
    path = _check_file(artifacts, validation_file, announce)
    validation_tokens = TOKENIZERS[vocabulary](path, validation_file.text, text.vocabulary)
    rows = validation_file.text.count_rows(window, vocabulary)
    return TextWindows(tokens, window, count, device), TextWindows(
        validation_tokens, window, rows, device
    )


def _text_file(spec: JobSpec, artifacts: Path | None, announce: Callable[[str], None]) -> Path:
    if isinstance(spec.data, ExampleData):
        return EXAMPLES_FOLDER / f"{spec.data.name}.txt"
    assert artifacts is not None and spec.facts is not None, "where datasets lie is known"
    return _check_file(artifacts, spec.facts.data, announce)


def _check_file(artifacts: Path, data_file: DataFile, announce: Callable[[str], None]) -> Path:
    """Read a dataset's file once for its hash, which no bit of it could change unseen."""
    for _ in read_with_checksum(artifacts / data_file.path, data_file.sha256, announce):
        pass
    return artifacts / data_file.path
