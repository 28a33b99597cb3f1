"""The kernel signature: the part of a spec that decides the generated C. Knows no torch.

Specs of one signature share one compiled object: rates, betas, eps, clip, dropout's p, seeds,
ticks, the batch's size (beyond "one row") and the number of parts are arguments of its functions.
"""

from dataclasses import dataclass

from jobs.spec.job_spec import JobSpec
from jobs.spec.training import Sgd
from models.mlp.config import MlpConfig


@dataclass(frozen=True)
class KernelSignature:
    """The net, its loss, and which terms its ticks have."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    norm: str
    activation: str
    has_dropout: bool
    objective: str
    optimizer: str
    has_weight_decay: bool
    decays_all: bool  # biases and norms' parameters too, if anything decays
    has_momentum: bool
    is_nesterov: bool
    has_clipping: bool
    needs_grad_norm: bool  # at every tick: it is recorded, or clipping needs it
    is_one_row: bool  # every batch is one row

    @property
    def is_plain(self) -> bool:
        """Whether a tick is one row and plain SGD: a weight's line changes by row * number."""
        is_bare_sgd = self.optimizer == "sgd" and not (
            self.has_momentum or self.has_weight_decay or self.has_clipping
        )
        return self.is_one_row and is_bare_sgd

    @property
    def is_fused(self) -> bool:
        """Whether a gradient is applied where it is computed, without being stored."""
        return self.is_plain or (self.is_one_row and not self.needs_grad_norm)

    @property
    def moments(self) -> tuple[str, ...]:
        """torch's names of the optimizer's state tensors of each parameter."""
        if self.optimizer == "sgd":
            return ("momentum_buffer",) if self.has_momentum else ()
        return ("exp_avg", "exp_avg_sq")


def signature_of(spec: JobSpec) -> KernelSignature:
    """Return the signature of a spec within jobs/spec/native_limits.py."""
    model, optimizer = spec.model, spec.optimizer
    assert isinstance(model, MlpConfig), "native is for mlps only"
    sgd = optimizer if isinstance(optimizer, Sgd) else None
    return KernelSignature(
        inputs=spec.profile.features,
        hidden=tuple(model.hidden),
        outputs=spec.profile.outputs,
        norm=model.norm,
        activation=model.activation,
        has_dropout=model.dropout > 0,
        objective=spec.objective,
        optimizer=optimizer.name,
        has_weight_decay=optimizer.weight_decay > 0,
        decays_all=optimizer.weight_decay == 0 or optimizer.decay == "all",
        has_momentum=sgd is not None and sgd.momentum > 0,
        is_nesterov=sgd is not None and sgd.nesterov,
        has_clipping=spec.clip_norm is not None,
        needs_grad_norm=spec.clip_norm is not None or "grad_norm" in spec.record,
        is_one_row=spec.batch_size == 1,
    )
