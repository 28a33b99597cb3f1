"""Put the weights of another job into a net that has drawn its own. Knows no store."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from jobs.spec.job_spec import JobSpec


class MissingWeights(Exception):
    """The weights that a spec names in `init` are not there, or not what they were."""


@torch.no_grad()
def load_initial_weights(net: nn.Module, spec: JobSpec, artifacts: Path | None) -> None:
    """Copy the weights that the spec takes from another job; does nothing for a spec without.

    Raises MissingWeights.
    """
    if spec.init is None:
        return
    if spec.weights is None or artifacts is None:
        raise MissingWeights("init needs the service, which has the other job's weights")
    path = artifacts / spec.weights.path
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MissingWeights(f"the weights of init: {error.strerror}") from error
    if digest != spec.weights.sha256:
        raise MissingWeights("the weights of init are not what was copied")
    tensors, state = load_file(path), net.state_dict()
    for name in spec.weights.names:
        state[name].copy_(tensors[name])
