"""What a net is trained to make small, by the spec's names. Knows no tick."""

from torch import nn

OBJECTIVES: dict[str, type[nn.Module]] = {
    "mse": nn.MSELoss,  # outputs and targets [rows, outputs]: the mean of (output - target)^2
    "cross_entropy": nn.CrossEntropyLoss,  # outputs [rows, classes], targets [rows], int64
}
