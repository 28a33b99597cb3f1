"""What a tick costs, by arithmetic: operations, and seconds within a factor of some three."""

from jobs.spec.job_spec import JobSpec
from models.mlp.config import MlpConfig

#: seconds that graph saves in a tick and in each of its micro-batches, for each layer there and for
#: each parameter; fitted to nets of 1 to 16 layers and 300 to a million parameters, 1 and 4
#: micro-batches (`python -m bench engine_choice`)
SAVED_SECONDS, SAVED_SECONDS_PER_LAYER, SAVED_SECONDS_PER_PARAMETER = 180e-6, 95e-6, 0.9e-9
SAVED_PART_SECONDS, SAVED_PART_SECONDS_PER_LAYER = 100e-6, 90e-6
#: as many layers of an mlp a language model has: for its embedding and loss, and for each block
EMBEDDING_LAYERS, BLOCK_LAYERS = 4, 4
#: time of an engine's own calls, relative to the time that graph saves
OVERHEAD_RATIOS = {"eager": 1.1, "graph": 0.1, "native": 0.003}
FLOPS_PER_SECOND = 4e10


def estimate_tick_seconds(spec: JobSpec, engine: str = "eager") -> float:
    """Estimate the seconds of one tick on one core; within a factor of some three."""
    return combine_costs(engine, saved_seconds(spec), count_tick_flops(spec))


def combine_costs(engine: str, saved: float, flops: int) -> float:
    """Return an engine's seconds of a tick in which graph saves so many, with these operations."""
    return OVERHEAD_RATIOS[engine] * saved + flops / FLOPS_PER_SECOND


def count_tick_flops(spec: JobSpec) -> int:
    """Return about how many floating-point operations the products of one tick take."""
    tokens = 1 if spec.profile.text is None else spec.profile.features
    return 6 * spec.parameters * spec.batch_size * tokens


def saved_seconds(spec: JobSpec) -> float:
    """Return the seconds that graph saves in a tick."""
    model = spec.model
    if isinstance(model, MlpConfig):
        layers = len(model.hidden)
    else:
        layers = EMBEDDING_LAYERS + BLOCK_LAYERS * model.layers
    part = SAVED_PART_SECONDS + SAVED_PART_SECONDS_PER_LAYER * layers
    tick = SAVED_SECONDS + SAVED_SECONDS_PER_LAYER * layers
    return tick + part * spec.micro_batches + SAVED_SECONDS_PER_PARAMETER * spec.parameters
