"""The loss functions a net is trained to minimize, by the spec's names. Knows no tick."""

from torch import Tensor, nn
from torch.nn import functional as F


class NextTokenLoss(nn.Module):
    """Mean cross entropy of the next token, in nats per token.

    Logits are [rows, window, vocabulary], targets [rows, window] int64.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss (0-dim) over all tokens of all rows."""
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


OBJECTIVES: dict[str, type[nn.Module]] = {
    "mse": nn.MSELoss,  # outputs and targets [rows, outputs]: mean (output - target)^2
    "cross_entropy": nn.CrossEntropyLoss,  # outputs [rows, classes], targets [rows] int64
    "language_model": NextTokenLoss,
}
