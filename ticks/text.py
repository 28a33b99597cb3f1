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

from jobs.spec.data import EXAMPLES, ExampleData, SyntheticData
from jobs.spec.facts import Source
from jobs.spec.job_spec import JobSpec
from jobs.spec.text import vocabulary_of
from ticks.batches import Rows, Stretch, spans
from ticks.order import Numbers, Shuffle, Split
from ticks.seeds import derive
from ticks.sequences import Sequence
from ticks.tables import pieces
from ticks.tokens import TOKENS, Ids

#: tokens validated at a time, always: the bits of a result must not hang on anything else
BLOCK = 4096


class Tokens(Protocol):
    """A text as numbers."""

    def read(self, first: int, count: int) -> Ids:
        """Give `count` tokens from token `first` on."""
        ...


class Windows:
    """`count` rows of a text; `number` gives the row in the text of each of its own numbers."""

    def __init__(
        self,
        tokens: Tokens,
        window: int,
        count: int,
        device: torch.device,
        number: Callable[[Numbers], Numbers] = lambda numbers: numbers,
    ) -> None:
        self.tokens, self.window, self.count, self.device = tokens, window, count, device
        self._number = number
        self._buffer = self._room(0)

    def take(self, numbers: Numbers) -> Rows:
        """Copy the rows of these numbers into the buffer, in this order."""
        if len(self._buffer.inputs) < len(numbers):
            self._buffer = self._room(len(numbers))
        batch = self._buffer.slice(0, len(numbers))
        self._copy(numbers, batch)
        return batch.to(self.device)

    def fresh(self, numbers: Numbers) -> Rows:
        """Copy the rows of these numbers into memory of their own, in this order."""
        rows = self._room(len(numbers))
        self._copy(numbers, rows)
        return rows.to(self.device)

    def batches(self, size: int, *, seed: int, shuffle: bool) -> "TextBatches":
        """Return the batches of a training on these rows."""
        return TextBatches(self, size, seed=seed, shuffle=shuffle)

    def blocks(self) -> Iterator[Rows]:
        """All rows in order, some at a time; each block is valid until the next."""
        size = max(1, BLOCK // self.window)
        for first in range(0, self.count, size):
            yield self.take(np.arange(first, min(first + size, self.count)))

    def _copy(self, numbers: Numbers, into: Rows) -> None:
        inputs, targets = into.inputs.numpy(), into.targets.numpy()
        for at, row in enumerate(self._number(numbers).tolist()):
            tokens = self.tokens.read(row * self.window, self.window + 1)
            inputs[at], targets[at] = tokens[:-1], tokens[1:]

    def _room(self, rows: int) -> Rows:
        shape = (rows, self.window)
        return Rows(torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64))


class TextBatches:
    """The batch of every tick. An epoch is every row once; its last batch may be short."""

    def __init__(self, rows: Windows, size: int, *, seed: int, shuffle: bool) -> None:
        self.rows, self.size, self.seed, self.shuffle = rows, size, seed, shuffle
        self.per_epoch = -(-rows.count // size)

    def of(self, tick: int) -> Rows:
        """Return the batch of a tick (from 1)."""
        return self.rows.take(self._numbers(tick, tick))

    def stretch(self, first: int, last: int) -> Stretch:
        """Return the batches of ticks first to last."""
        _, _, counts = spans(first, last, self.rows.count, self.size)
        rows = self.rows.fresh(self._numbers(first, last))
        return Stretch(rows, np.cumsum(counts) - counts, counts)

    def _numbers(self, first: int, last: int) -> Numbers:
        """The rows' numbers of all batches of ticks first to last, one after another."""
        epochs, firsts, counts = spans(first, last, self.rows.count, self.size)
        found = []
        for epoch, start, count in zip(epochs, firsts.tolist(), counts.tolist(), strict=True):
            numbers = np.arange(start, start + count)
            if self.shuffle:
                numbers = Shuffle(self.rows.count, derive("order", self.seed, epoch))(numbers)
            found.append(numbers)
        return np.concatenate(found)


def load(
    spec: JobSpec,
    device: torch.device,
    artifacts: Path | None = None,
    announce: Callable[[str], None] = lambda _phase: None,
) -> tuple[Windows, Windows | None]:
    """Open the spec's text: the rows to train on, and those to validate on.

    The latter are chosen by the seed, or are all of a second text, read in the first one's tokens.
    An uploaded text is hashed first: raises DamagedDataset where it has other bytes.
    """
    text, window = spec.profile.text, spec.profile.features
    assert text is not None, "the spec's data are a text"
    vocabulary = vocabulary_of(spec.model)
    count, held = spec.training_rows, spec.held_out_rows
    if isinstance(spec.data, SyntheticData):
        tokens: Tokens = Sequence(spec.data.seed, as_bytes=vocabulary == "bytes")
    else:
        tokens = TOKENS[vocabulary](_file(spec, artifacts, announce), text, text.vocabulary)
    if held:
        split = Split(count + held, held, derive("validation", spec.seed))
        return (
            Windows(tokens, window, count, device, split.training),
            Windows(tokens, window, held, device, split.held_out),
        )
    other = None if spec.facts is None else spec.facts.validation
    if other is None:
        return Windows(tokens, window, count, device), None
    assert artifacts is not None and other.text is not None, "the second dataset is a text too"
    file = _checked(artifacts, other, announce)
    others = TOKENS[vocabulary](file, other.text, text.vocabulary)
    rows = other.text.rows(window, vocabulary)
    return Windows(tokens, window, count, device), Windows(others, window, rows, device)


def _file(spec: JobSpec, artifacts: Path | None, announce: Callable[[str], None]) -> Path:
    if isinstance(spec.data, ExampleData):
        return EXAMPLES / f"{spec.data.name}.txt"
    assert artifacts is not None and spec.facts is not None, "where datasets lie is known"
    return _checked(artifacts, spec.facts.data, announce)


def _checked(artifacts: Path, source: Source, announce: Callable[[str], None]) -> Path:
    """Read a dataset's file once for its hash, which no bit of it could change unseen."""
    for _ in pieces(artifacts / source.path, source.sha256, announce):
        pass
    return artifacts / source.path
