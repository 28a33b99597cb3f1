"""The baseline: the training of `examples/seed_layernorm.json` as a plain PyTorch loop.

    python examples/layernorm_loop.py

Prints the losses of its 10,000 ticks. The losses of the service are equal, bit for bit.
"""

import torch
from torch import nn

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(1)
inputs, slopes = torch.randn(100, 10, generator=generator), torch.randn(10, 1, generator=generator)
targets = inputs @ slopes + 0.1 * torch.randn(100, 1, generator=generator)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 50), nn.LayerNorm(50), nn.ReLU(), nn.Linear(50, 1))
criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01)
for _epoch in range(100):
    for i in range(len(inputs)):
        loss = criterion(model(inputs[i]), targets[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(loss.item())
