"""The GPT-style language model: a causal transformer decoder over the tokens of a text."""
