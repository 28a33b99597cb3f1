"""Facts of a text as data, and its rows for a window. Knows no tensor.

A token is a byte or a character, as the model's `vocabulary` says. Row i of a text has tokens
i*window to (i+1)*window - 1 as inputs, and those one token later as targets.
"""

from typing import Literal

from jobs.spec.base import SpecModel
from models.families import ModelConfig
from models.transformer_lm.config import TransformerLmConfig

Vocabulary = Literal["bytes", "characters"]
NUM_BYTE_TOKENS = 256


class TextFacts(SpecModel):
    """A UTF-8 text in numbers: its lengths, and its distinct characters, sorted."""

    bytes: int
    characters: int
    vocabulary: list[str]
    skipped: int = 0
    """Bytes of the file before the text: those of a byte-order mark, which is no part of it. (In
    records of earlier builds it is the first character.)"""

    def count_tokens(self, vocabulary: Vocabulary) -> int:
        """Return the number of tokens."""
        return self.bytes if vocabulary == "bytes" else self.characters

    def count_distinct(self, vocabulary: Vocabulary) -> int:
        """Return the number of distinct tokens of a net: 256 bytes, or the text's characters."""
        return NUM_BYTE_TOKENS if vocabulary == "bytes" else len(self.vocabulary)

    def count_rows(self, window: int, vocabulary: Vocabulary) -> int:
        """Return the number of windows; 0 if the text is not longer than one."""
        return max(0, (self.count_tokens(vocabulary) - 1) // window)


def vocabulary_of(model: ModelConfig) -> Vocabulary:
    """Return the kind of tokens that a model reads; bytes for a model that reads no text."""
    return model.vocabulary if isinstance(model, TransformerLmConfig) else "bytes"
