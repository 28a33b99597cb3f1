"""The transformer_lm as a torch module: tokens [rows, window] to logits [rows, window, vocabulary].

Every operator but attention acts on each token by itself, and attention sees no later token: the
logits at a position are a function of the tokens up to it. All numbers are float32, tokens int64.
"""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from models.activations import ACTIVATIONS
from models.norms import make_norm
from models.transformer_lm.config import TransformerLmConfig

#: standard deviation of the initial weights times sqrt(width): GPT-2's 0.02 at its width 768
INITIAL_SCALE = 0.02 * math.sqrt(768)


class Attention(nn.Module):
    """Causal multi-head self-attention: every position attends to itself and those before it.

    Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762, equation 1 and section 3.2.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return attention over x [rows, window, width], of the same shape."""
        rows, window, width = x.shape
        split = (rows, window, self.heads, width // self.heads)
        q, k, v = (
            part.view(split).transpose(1, 2) for part in self.queries_keys_values(x).chunk(3, dim=2)
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        output: Tensor = self.output(attended.transpose(1, 2).reshape(rows, window, width))
        return output


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, applied to each position separately."""

    def __init__(self, config: TransformerLmConfig) -> None:
        super().__init__()
        inner_width = config.feed_forward * config.width
        self.hidden = nn.Linear(config.width, inner_width)
        self.activation = ACTIVATIONS[config.activation]()
        self.output = nn.Linear(inner_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the net's output for x [..., width], of the same shape."""
        output: Tensor = self.output(self.activation(self.hidden(x)))
        return output


class Residual(nn.Module):
    """A sublayer f with its norm: x + f(norm(x)), or norm(x + f(x)) when the norm comes after."""

    def __init__(self, config: TransformerLmConfig, sublayer: nn.Module) -> None:
        super().__init__()
        self.is_post_norm = config.norm_position == "post"
        self.norm = nn.Sequential(*make_norm(config.norm, config.width))
        self.sublayer = sublayer
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [rows, window, width] plus the sublayer's output, of the same shape."""
        if self.is_post_norm:
            normed: Tensor = self.norm(x + self.dropout(self.sublayer(x)))
            return normed
        added: Tensor = self.dropout(self.sublayer(self.norm(x)))
        return x + added


class TransformerLm(nn.Module):
    """Token and position embeddings, layers of attention and feed-forward net, logits.

    GPT (Radford et al. 2018, norm after each sublayer) and GPT-2 (Radford et al. 2019, norm before
    each sublayer, and one more before the logits).
    """

    def __init__(self, config: TransformerLmConfig, window: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, config.width)
        self.positions = nn.Embedding(window, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.Sequential(*(make_layer(config) for _ in range(config.layers)))
        last = make_norm(config.norm, config.width) if config.norm_position == "pre" else []
        self.norm = nn.Sequential(*last)
        self.logits: nn.Linear | None = None
        if not config.tied_embeddings:
            self.logits = nn.Linear(config.width, vocabulary, bias=False)
        initialize_weights(self, INITIAL_SCALE / math.sqrt(config.width), config.layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each of `tokens` [rows, at most window].

        Shape [rows, tokens, vocabulary].
        """
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        x = self.norm(self.layers(self.dropout(x)))
        # Tied weights are one parameter: safetensors refuses two names for the same memory.
        weight: Tensor = self.tokens.weight if self.logits is None else self.logits.weight
        return F.linear(x, weight)


def make_layer(config: TransformerLmConfig) -> nn.Module:
    """Return one layer: attention, then a feed-forward net, each added to the residual stream."""
    attention = Attention(config.width, config.heads)
    return nn.Sequential(Residual(config, attention), Residual(config, FeedForward(config)))


def initialize_weights(net: nn.Module, deviation: float, layers: int) -> None:
    """Draw all weights from a normal distribution around 0; set biases to 0; leave norms alone.

    The weights of each sublayer's output are multiplied by 1 / sqrt(2 * layers), as in GPT-2, so
    that the residual stream's size does not depend on the net's depth.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=deviation)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in net.modules():
        if isinstance(module, Attention | FeedForward):
            module.output.weight.data.mul_(1 / math.sqrt(2 * layers))


def build_net(config: TransformerLmConfig, inputs: int, outputs: int) -> nn.Module:
    """Build the net for windows of up to `inputs` tokens of a vocabulary of `outputs`."""
    return TransformerLm(config, inputs, outputs)
