"""A form: what of a spec decides the C that is emitted. Numbers are not in it. Knows no torch.

Specs of one form share one compiled object: rates, betas, eps, clip, dropout's p, seeds, ticks, the
batch's size (beyond "one row") and the number of parts are arguments of its functions.
"""

from dataclasses import dataclass

from jobs.spec.job_spec import JobSpec
from jobs.spec.training import Sgd
from models.mlp.config import MlpConfig


@dataclass(frozen=True)
class Form:
    """The net, its loss, and which terms its ticks have."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    norm: str
    activation: str
    dropout: bool
    objective: str
    optimizer: str
    weight_decay: bool
    momentum: bool
    nesterov: bool
    clip: bool
    grad_norm: bool  # known at every tick: it is recorded, or clipping needs it
    one_row: bool  # every batch is one row

    @property
    def plain(self) -> bool:
        """Whether a line steps by the row times a number: one row, and SGD with nothing to it."""
        bare = self.optimizer == "sgd" and not (self.momentum or self.weight_decay or self.clip)
        return self.one_row and bare

    @property
    def fused(self) -> bool:
        """Whether a gradient is applied where it is made."""
        return self.plain or (self.one_row and not self.grad_norm)

    @property
    def moments(self) -> tuple[str, ...]:
        """torch's names of the tensors that the optimizer keeps for each of the net's."""
        if self.optimizer == "sgd":
            return ("momentum_buffer",) if self.momentum else ()
        return ("exp_avg", "exp_avg_sq")


def form_of(spec: JobSpec) -> Form:
    """Return the form of a spec of the class (jobs/spec/native_class.py)."""
    model, optimizer = spec.model, spec.optimizer
    assert isinstance(model, MlpConfig), "only an mlp is in the class"
    sgd = optimizer if isinstance(optimizer, Sgd) else None
    return Form(
        inputs=spec.profile.features,
        hidden=tuple(model.hidden),
        outputs=spec.profile.outputs,
        norm=model.norm,
        activation=model.activation,
        dropout=model.dropout > 0,
        objective=spec.objective,
        optimizer=optimizer.name,
        weight_decay=optimizer.weight_decay > 0,
        momentum=sgd is not None and sgd.momentum > 0,
        nesterov=sgd is not None and sgd.nesterov,
        clip=spec.clip_norm is not None,
        grad_norm=spec.clip_norm is not None or "grad_norm" in spec.record,
        one_row=spec.batch_size == 1,
    )
