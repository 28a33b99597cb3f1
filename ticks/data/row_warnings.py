"""What is doubtful about the training rows themselves, told when a training begins."""

from collections.abc import Iterator

from torch import Tensor

from jobs.spec.data import FIRST_REVISION
from jobs.spec.job_spec import JobSpec
from jobs.spec.spec_warnings import target_scale_warnings
from ticks.data.batches import RowSource, TensorRows

#: the square of a larger float32, added up over some features, is no float32
MAX_NORMED = 1e19


def find_row_warnings(spec: JobSpec, rows: RowSource) -> list[str]:
    """Return the warnings of targets that should be scaled, and of inputs too large for a norm."""
    if not isinstance(rows, TensorRows) or spec.revision == FIRST_REVISION:
        return []
    return [*_target_warnings(spec, rows.targets), *_input_warnings(spec, rows.inputs)]


def _target_warnings(spec: JobSpec, targets: Tensor) -> list[str]:
    if spec.profile.kind != "number" or spec.is_target_scaled:
        return []
    exact = targets.double()
    deviations = exact.std(dim=0, correction=0).tolist()
    statistics = zip(exact.mean(dim=0).tolist(), deviations, strict=True)
    return target_scale_warnings(spec, list(statistics))


def _input_warnings(spec: JobSpec, inputs: Tensor) -> Iterator[str]:
    if not inputs.is_floating_point() or spec.model.norm == "none" or not inputs.numel():
        return
    least, most = (float(value) for value in inputs.aminmax())
    if (largest := max(-least, most)) > MAX_NORMED:
        yield (
            f"inputs reach {largest:.3g}, and model.norm is {spec.model.norm!r}: the squares of "
            f"numbers beyond {MAX_NORMED:.0e} overflow float32, and the norm makes 0 or NaN of "
            "such rows; scale them (data.standardize)"
        )
