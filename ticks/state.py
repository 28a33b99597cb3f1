"""A trainer's state as named tensors, read and restored, and its 64-bit digest. Knows no file.

The state is the net's weights and buffers, the optimizer's tensors, and the tick. It has no random
generator's state, because every random number is a function of the spec's seed and the tick.
"""

import hashlib

import torch
from torch import Tensor

from ticks.trainer import Trainer

Tensors = dict[str, Tensor]


def weights(trainer: Trainer) -> Tensors:
    """Return the net's weights and buffers by torch's names, sharing their memory."""
    return {name: tensor.detach() for name, tensor in trainer.net.state_dict().items()}


def optimizer_tensors(trainer: Trainer) -> Tensors:
    """Return the optimizer's tensors by names such as "exp_avg/0.weight", sharing their memory.

    Empty before the first update, and always for SGD without momentum.
    """
    state = trainer.optimizer.state
    return {
        f"{key}/{name}": tensor
        for name, parameter in trainer.net.named_parameters()
        for key, tensor in sorted(state.get(parameter, {}).items())
    }


def restore(trainer: Trainer, net: Tensors, optimizer: Tensors, tick: int) -> None:
    """Set a trainer to the state of `weights` and `optimizer_tensors` after `tick`.

    The tensors are copied into torch's own, aligned memory: the address of a tensor can decide some
    of the bits, and a view of a file may begin anywhere. Raises RuntimeError where names or shapes
    of the net differ, KeyError for an unknown parameter of the optimizer.
    """
    trainer.net.load_state_dict(net)
    parameters = dict(trainer.net.named_parameters())
    trainer.optimizer.state.clear()
    for path, tensor in optimizer.items():
        key, name = path.split("/", 1)
        parameter = parameters[name]
        # Adam keeps its step counter on the CPU whatever the device.
        device = torch.device("cpu") if key == "step" else parameter.device
        trainer.optimizer.state[parameter][key] = tensor.clone().to(device)
    trainer.ticks_done = tick


class StateBackup:
    """A copy of a trainer's state, to restore in place into the same trainer."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._ticks_done = trainer, trainer.ticks_done
        self._has_optimizer_state = bool(trainer.optimizer.state)
        self._pairs = [(tensor, tensor.clone()) for tensor in self._tensors()]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the state; tensors that the optimizer has created since then are dropped."""
        for tensor, copy in self._pairs:
            tensor.copy_(copy)
        if not self._has_optimizer_state:
            self._trainer.optimizer.state.clear()
        self._trainer.ticks_done = self._ticks_done

    def _tensors(self) -> list[Tensor]:
        trainer = self._trainer
        return [*weights(trainer).values(), *optimizer_tensors(trainer).values()]


def state_digest(trainer: Trainer) -> str:
    """Return the digest of a trainer's state, 16 hex digits (see `digest_tensors`)."""
    return digest_tensors(weights(trainer), optimizer_tensors(trainer))


def digest_tensors(net: Tensors, optimizer: Tensors) -> str:
    """Return 16 hex digits of a sha256 over every tensor's name, shape, dtype and bytes."""
    tensors = {f"net/{name}": tensor for name, tensor in net.items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in optimizer.items()}
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        sha.update(tensor_bytes(tensor))
    return sha.hexdigest()[:16]


def tensor_bytes(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes in row-major order, uncopied if contiguous and on the CPU."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy().data)
