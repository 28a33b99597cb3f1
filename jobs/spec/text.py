"""Texts as data: what is known of one, and how many rows it has for a window. Knows no tensor.

A token is a byte or a character, as the model's `vocabulary` says. Row i of a text is a window:
tokens i*window to (i+1)*window as inputs, the same one token later as targets.
"""

from typing import Literal

from jobs.spec.base import SpecModel
from models.families import ModelConfig
from models.transformer_lm.config import TransformerLmConfig

Vocabulary = Literal["bytes", "characters"]
NUM_BYTE_TOKENS = 256


class TextFacts(SpecModel):
    """What is known of a text in UTF-8: how long it is, and its distinct characters, sorted."""

    bytes: int
    characters: int
    vocabulary: list[str]

    def count_tokens(self, vocabulary: Vocabulary) -> int:
        """Count the tokens."""
        return self.bytes if vocabulary == "bytes" else self.characters

    def count_distinct(self, vocabulary: Vocabulary) -> int:
        """Count the tokens that a net must tell apart: 256 bytes, or the text's characters."""
        return NUM_BYTE_TOKENS if vocabulary == "bytes" else len(self.vocabulary)

    def count_rows(self, window: int, vocabulary: Vocabulary) -> int:
        """Count the windows; 0 where the text is no longer than one."""
        return max(0, (self.count_tokens(vocabulary) - 1) // window)


def vocabulary_of(model: ModelConfig) -> Vocabulary:
    """What a model takes for tokens; bytes where it reads no text at all."""
    return model.vocabulary if isinstance(model, TransformerLmConfig) else "bytes"
