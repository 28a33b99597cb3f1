"""Choose the device of a spec that says `auto`, once, when it is submitted. Knows no torch.

A GPU computes other bits than a CPU, so the choice is stored with the spec and never made again:
a job that is resumed, verified or forked stays on its device. The rule, for `auto`:

1.  an engine that runs on CPUs alone (graph, native): cpu
2.  no live worker can use a GPU: cpu
3.  the spec's need, estimated, is more than the memory of the largest of these GPUs: cpu
4.  no live worker of the queue cpu, or none with enough memory: cuda
5.  `exact` is required, and live GPUs compute different bits (their canaries differ), so that not
    every one could go on with the job: cpu
6.  a part of a tick (all of it, without micro_batches) has MIN_CUDA_FLOPS floating-point
    operations or more, by 6 · parameters · rows (· tokens of a window): cuda, else cpu
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from jobs.memory_estimate import estimate_memory_bytes
from jobs.spec.job_spec import JobSpec
from jobs.spec.tick_costs import count_tick_flops

WorkerInfo = Mapping[str, Any]  # as jobs/queries/worker_registry.py lists live ones
Device = Literal["cpu", "cuda"]
#: some 50 ms of one core. Fewer, and a GPU waits for the calls of its kernels more than it
#: computes. Not measured: a round number
MIN_CUDA_FLOPS = 10**9


class DeviceDecision(NamedTuple):
    """A device, and the reason in words."""

    device: Device
    reason: str


class DeviceChoice(BaseModel):
    """The device of a spec; it was decided at the submission and never changes."""

    device: Device
    why: str


#: of a predict or evaluate, whatever its net was trained on
ON_CPU = DeviceChoice(device="cpu", why="answers are computed on CPUs")


def describe_device(spec: JobSpec) -> DeviceChoice:
    """Return the device of a spec and why it is that, as clients are shown it."""
    if spec.compute.device == "auto":  # stored by a build before there was a choice
        return DeviceChoice(device="cpu", why="auto meant cpu when it was submitted")
    return DeviceChoice(device=spec.queue, why=spec.device_reason or "the spec names it")


def resolve_device(spec: JobSpec, workers: Sequence[WorkerInfo]) -> JobSpec:
    """Return the spec with its device decided, and the reason in `device_reason`."""
    if spec.compute.device != "auto":
        return spec
    decision = choose_device(spec, workers)
    resolved = _on_device(spec, decision.device)
    return resolved.model_copy(update={"device_reason": decision.reason})


def inherit_device(spec: JobSpec, parent: JobSpec) -> JobSpec:
    """Return the spec of a job that goes on from another: on its device, unless it names one."""
    if spec.compute.device == parent.compute.device:
        return spec.model_copy(update={"device_reason": parent.device_reason})
    if spec.compute.device != "auto":
        return spec.model_copy(update={"device_reason": None})
    reason = "that of the job that it goes on from"
    return _on_device(spec, parent.queue).model_copy(update={"device_reason": reason})


def choose_device(spec: JobSpec, workers: Sequence[WorkerInfo]) -> DeviceDecision:
    """Choose for a spec that says `auto`, with the workers that live now."""
    if spec.compute.engine in ("graph", "native"):
        return DeviceDecision("cpu", f"the engine {spec.compute.engine} runs on a CPU")
    on_gpu, on_cpu = _on_device(spec, "cuda"), _on_device(spec, "cpu")
    gpu_workers = queue_workers(on_gpu, workers)
    if not gpu_workers:
        return DeviceDecision("cpu", "no live worker can use a GPU")
    if not _fits(on_gpu, gpu_workers):
        needed, largest = estimate_memory_bytes(on_gpu), max_worker_memory(gpu_workers)
        return DeviceDecision(
            "cpu", f"it needs {needed:,} bytes, and the largest GPU has {largest:,}"
        )
    if not _fits(on_cpu, queue_workers(on_cpu, workers)):
        return DeviceDecision("cuda", "no live worker of the queue cpu has the memory for it")
    canaries = {(worker.get("fingerprint") or {}).get("canary") for worker in gpu_workers}
    if spec.compute.exact == "required" and len(canaries) > 1:
        return DeviceDecision("cpu", "exact is required, and live GPUs compute different bits")
    flops = count_tick_flops(spec) // spec.micro_batches
    part = "a tick" if spec.micro_batches == 1 else "a part of a tick"
    is_enough = flops >= MIN_CUDA_FLOPS
    compared = f"{flops:.1e} operations: {'enough' if is_enough else 'too few'} for a GPU"
    return DeviceDecision("cuda" if is_enough else "cpu", f"{part} has some {compared}")


def queue_workers(spec: JobSpec, workers: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    """Return the live workers of the spec's queue that can use their device."""
    return [
        worker
        for worker in workers
        if worker.get("queue") == spec.queue and not worker.get("device_error")
    ]


def max_worker_memory(workers: Sequence[WorkerInfo]) -> int | None:
    """Return the most memory that one of these workers has; None where one does not announce it."""
    announced: list[int | None] = [worker.get("memory_bytes") for worker in workers]
    sizes = [size for size in announced if size is not None]
    return max(sizes) if sizes and len(sizes) == len(announced) else None


def _fits(spec: JobSpec, workers: Sequence[WorkerInfo]) -> bool:
    """Return whether one of these workers has, or may have, the memory for a spec."""
    largest = max_worker_memory(workers)
    return bool(workers) and (largest is None or estimate_memory_bytes(spec) <= largest)


def _on_device(spec: JobSpec, device: Device) -> JobSpec:
    compute = spec.compute.model_copy(update={"device": device})
    return spec.model_copy(update={"compute": compute})
