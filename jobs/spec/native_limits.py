"""Which specs the native engine can run, and for which `auto` prefers it. Knows no torch.

The engine (ticks/engines/native) emits the whole tick of a small net as C. It sums in a fixed order
in plain float32 on one core, so large products are faster in a library's kernels.
"""

from collections.abc import Iterator

from jobs.spec.job_spec import JobSpec
from jobs.spec.training import Sgd
from models.mlp.config import MlpConfig

MAX_LAYERS = 16  # hidden; a compiler takes about 0.4 s for each
MAX_PARAMETERS = 1 << 26  # the work area holds three times as many: state and gradient too
MIN_NORMAL_FLOAT32 = 1.1754943508222875e-38
#: parameters x batch_size, above which a library's kernels are faster. Measured with AdamW on one
#: core, microseconds a tick, native against eager: 64-64 batch 32 (3e5) 33 : 680; 256-256 batch 16
#: (1.4e6) 220 : 740, batch 64 (5.5e6) 710 : 1,300; 512-512-512 batch 64 (3.6e7) 6,500 : 4,600
MAX_WORTHWHILE_PRODUCT = 4_000_000


def native_unsupported_reason(spec: JobSpec) -> str | None:
    """Return why the native engine cannot run a spec, or None if it can."""
    return next(_unsupported_reasons(spec), None)


def is_worthwhile(spec: JobSpec) -> bool:
    """Return whether `auto` should prefer native for a spec that it can run."""
    return spec.parameters * spec.batch_size <= MAX_WORTHWHILE_PRODUCT


def _unsupported_reasons(spec: JobSpec) -> Iterator[str]:
    model, compute, optimizer = spec.model, spec.compute, spec.optimizer
    if not isinstance(model, MlpConfig):
        yield f"native runs the family mlp, not {model.family}"
    if model.needs_batch_statistics:
        yield f"native runs norms that couple no rows, not {model.norm}"
    if compute.device == "cuda":
        yield "native runs on the device cpu"
    if compute.precision != "float32":
        yield f"native computes in float32, not {compute.precision}"
    if spec.class_weights is not None or spec.label_smoothing:
        yield "native computes the plain cross entropy, without class_weights and label_smoothing"
    if compute.threads != 1:
        yield f"native runs on 1 thread, not {compute.threads}"
    if isinstance(model, MlpConfig) and len(model.hidden) > MAX_LAYERS:
        yield f"native has at most {MAX_LAYERS} hidden layers, not {len(model.hidden)}"
    if spec.parameters > MAX_PARAMETERS:
        yield f"native has at most {MAX_PARAMETERS} parameters, not {spec.parameters}"
    if not isinstance(optimizer, Sgd) and optimizer.eps < MIN_NORMAL_FLOAT32:
        yield f"native needs an eps of at least {MIN_NORMAL_FLOAT32:g}, a normal float32 number"
