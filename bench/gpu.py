"""A GPU beside this machine's CPU: ticks per second of eager, and the estimate of its memory.

The same spec is trained on both in turn, in one process: on the CPU with one thread and with all
cores. A tick reads its loss back, so every tick is waited for. Needs a torch with CUDA and a GPU.
"""

import os
from typing import Any

import torch

from bench.article_loop import SEED_SPEC
from bench.engines import GPT, WIDE
from bench.report import Figure, ratio
from bench.timing import measure_in_turn, time_call
from jobs.memory_estimate import GPU_PROCESS_BYTES, estimate_memory_bytes
from jobs.spec.job_spec import JobSpec
from jobs.spec.reading import read_spec
from ticks import machine
from ticks.training import TrainingRun

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
LARGE = {
    **WIDE, "model": {"family": "mlp", "hidden": [4096, 4096, 4096]}, "batch_size": 1024,
}  # fmt: skip
#: net -> its spec, ticks a round on the GPU and on the CPU
NETS: dict[str, tuple[dict[str, Any], int, int]] = {
    "seed's net": (SEED_SPEC, 1000, 1000),
    "mlp 512-512-512, batch 64": (WIDE, 500, 40),
    "GPT 4 x 128, batch 16 x 64": (GPT, 200, 5),
    "mlp 4096-4096-4096, batch 1024": (LARGE, 100, 1),
}


def measure(rounds: int) -> list[Figure]:
    """Measure all nets; ratios are of what was run in the same round."""
    try:
        machine.check_device(GPU)
    except machine.DeviceUnavailable as error:
        raise SystemExit(f"nothing to measure: {error}") from None
    figures = []
    for name, (body, gpu_ticks, cpu_ticks) in NETS.items():
        spec = _read(body)
        figures += _measure_memory(name, spec)
        figures += _measure_rates(name, spec, gpu_ticks, cpu_ticks, rounds)
    return figures


def _measure_rates(
    name: str, spec: JobSpec, gpu_ticks: int, cpu_ticks: int, rounds: int
) -> list[Figure]:
    cores = len(os.sched_getaffinity(0))
    machine.configure_torch(1)
    on_gpu, on_cpu = TrainingRun(spec, GPU), TrainingRun(spec, CPU)

    def rate(training: TrainingRun, ticks: int, threads: int) -> float:
        torch.set_num_threads(threads)
        return ticks / time_call(lambda: training.engine.run(ticks))

    values = measure_in_turn(
        {
            "on the GPU": lambda: rate(on_gpu, gpu_ticks, 1),
            "on the CPU, one thread": lambda: rate(on_cpu, cpu_ticks, 1),
            f"on the CPU, {cores} threads": lambda: rate(on_cpu, cpu_ticks, cores),
        },
        rounds,
        warmup_rounds=1,
    )
    figures = [
        Figure(f"{name}: eager {place}", "ticks/s", rates) for place, rates in values.items()
    ]
    gpu_rates = values.pop("on the GPU")
    ratios = [
        ratio(f"{name}: GPU against the {place[7:]}", gpu_rates, values[place]) for place in values
    ]
    return [*figures, *ratios]


def _measure_memory(name: str, spec: JobSpec) -> list[Figure]:
    """Compare the estimate with the peak of torch's allocator and with what the device misses."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    TrainingRun(spec, GPU).engine.run(3)
    peak = torch.cuda.max_memory_allocated() - before
    free, total = torch.cuda.mem_get_info()
    estimated = estimate_memory_bytes(spec)
    return [
        Figure(
            f"{name}: estimate without its allowance", "MB", [(estimated - GPU_PROCESS_BYTES) / 1e6]
        ),
        Figure(f"{name}: peak of torch's allocator", "MB", [peak / 1e6]),
        Figure(f"{name}: taken of the device, by all processes", "MB", [(total - free) / 1e6]),
    ]


def _read(body: dict[str, Any]) -> JobSpec:
    on_gpu = {**body, "budget": {"ticks": 10**6}, "compute": {"device": "cuda", "engine": "eager"}}
    return read_spec(on_gpu, max_parameters=10**9)
