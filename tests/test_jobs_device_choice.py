"""`compute.device: auto` is decided by a written rule, once, and shown with its reason."""

from typing import Any

import pytest

from jobs.device_choice import (
    MIN_CUDA_FLOPS,
    choose_device,
    describe_device,
    inherit_device,
    resolve_device,
)
from jobs.memory_estimate import GPU_PROCESS_BYTES, estimate_memory_bytes
from jobs.queries import worker_registry
from jobs.spec.stored import read_stored_spec
from jobs.store.connection import Store
from tests.support import small_spec
from tests.training_records import read_small_spec

GIB = 1 << 30
CPU: dict[str, Any] = {
    "queue": "cpu", "memory_bytes": 64 * GIB, "fingerprint": {"canary": "c"}, "engines": ["eager"],
}  # fmt: skip
GPU: dict[str, Any] = {
    "queue": "cuda", "memory_bytes": 80 * GIB, "fingerprint": {"canary": "g"}, "engines": ["eager"],
}  # fmt: skip
OTHER_GPU = {**GPU, "fingerprint": {"canary": "other"}}
LARGE: dict[str, Any] = {"model": {"family": "mlp", "hidden": [2900, 2900]}, "batch_size": 32}
SMALL_MEMORY = {"memory_bytes": GIB // 8}


@pytest.mark.parametrize(
    ("spec", "workers", "device", "reason"),
    [
        (LARGE, [CPU, GPU], "cuda", "enough for a GPU"),
        ({}, [CPU, GPU], "cpu", "too few for a GPU"),
        ({**LARGE, "micro_batches": 16}, [CPU, GPU], "cpu", "a part of a tick has"),
        (LARGE, [CPU], "cpu", "no live worker can use a GPU"),
        (LARGE, [], "cpu", "no live worker can use a GPU"),
        (LARGE, [CPU, {**GPU, "device_error": "none"}], "cpu", "no live worker can use a GPU"),
        (LARGE, [CPU, {**GPU, **SMALL_MEMORY}], "cpu", "and the largest GPU has 134,217,728"),
        ({}, [GPU], "cuda", "no live worker of the queue cpu has the memory"),
        (LARGE, [{**CPU, **SMALL_MEMORY}, GPU], "cuda", "no live worker of the queue cpu has"),
        (LARGE, [CPU, GPU, OTHER_GPU], "cpu", "live GPUs compute different bits"),
        ({**LARGE, "compute": {"exact": "best_effort"}}, [CPU, GPU, OTHER_GPU], "cuda", "enough"),
        ({**LARGE, "compute": {"engine": "graph"}}, [CPU, GPU], "cpu", "graph runs on a CPU"),
        ({**LARGE, "compute": {"engine": "eager"}}, [CPU, GPU], "cuda", "enough for a GPU"),
    ],
)
def test_the_device_follows_from_the_spec_and_the_live_workers(
    spec: dict[str, Any], workers: list[dict[str, Any]], device: str, reason: str
) -> None:
    decision = choose_device(read_small_spec(**spec), workers)
    assert decision.device == device and reason in decision.reason


def test_a_device_that_is_named_is_kept_and_a_stored_auto_means_cpu() -> None:
    for device in ("cpu", "cuda"):
        spec = read_small_spec(**LARGE, compute={"device": device})
        assert resolve_device(spec, [CPU, GPU]) == spec
        assert describe_device(spec).model_dump() == {"device": device, "why": "the spec names it"}
    stored = read_stored_spec(read_small_spec(**LARGE).to_stored())
    assert stored.queue == "cpu" and describe_device(stored).why.startswith("auto meant cpu")


def test_the_decision_is_stored_with_the_spec() -> None:
    spec = resolve_device(read_small_spec(**LARGE), [CPU, GPU])
    assert read_stored_spec(spec.to_stored()) == spec
    assert describe_device(spec).device == spec.queue == "cuda"
    assert f"{6 * spec.parameters * 32:.1e}" in describe_device(spec).why
    assert 6 * spec.parameters * 2 < MIN_CUDA_FLOPS < 6 * spec.parameters * 32


def test_a_job_that_goes_on_from_another_stays_on_its_device_unless_it_names_one() -> None:
    def on(device: str) -> Any:
        return read_small_spec(**LARGE, compute={"device": device})

    chosen, old = resolve_device(on("auto"), [CPU, GPU]), on("auto")
    assert inherit_device(chosen, chosen) == chosen
    assert inherit_device(on("auto"), chosen).queue == "cuda"
    assert inherit_device(old, old) == old and old.queue == "cpu"
    moved = inherit_device(chosen.model_copy(update={"compute": on("cpu").compute}), chosen)
    assert describe_device(moved).model_dump() == {"device": "cpu", "why": "the spec names it"}


def test_plan_and_job_show_device_and_reason_and_no_later_worker_changes_them(
    client: Any, store: Store
) -> None:
    worker_registry.register(store, "c", CPU, 60)
    worker_registry.register(store, "g", GPU, 60)
    body = small_spec(**LARGE)
    planned = client.post("/v1/jobs/plan", json=body).json
    job = client.post("/v1/jobs", json=body).json
    worker_registry.deregister(store, "g")
    shown = client.get(f"/v1/jobs/{job['id']}").json

    assert planned["device"]["device"] == "cuda" and "enough for a GPU" in planned["device"]["why"]
    assert planned["device"] == job["device_choice"] == shown["device_choice"]
    assert planned["spec"]["compute"]["device"] == shown["spec"]["compute"]["device"] == "cuda"
    assert shown["queue"] == {"position": 1, "reason": "no_worker"}
    now_planned = client.post("/v1/jobs/plan", json=body).json
    assert now_planned["device"] == {"device": "cpu", "why": "no live worker can use a GPU"}


def test_a_gpu_that_is_too_small_and_one_that_cannot_be_used_are_told(
    client: Any, store: Store
) -> None:
    body = small_spec(**LARGE, compute={"device": "cuda"})
    worker_registry.register(store, "g", {**GPU, **SMALL_MEMORY}, 60)
    refused = client.post("/v1/jobs", json=body)
    (error,) = refused.json["errors"]
    assert refused.status_code == 422 and error["pointer"] == "/model"
    assert "of a GPU's memory that a trainer would need" in error["detail"]
    assert "the largest live worker of the queue cuda has 134217728" in error["detail"]

    worker_registry.register(store, "g", {**GPU, "device_error": "torch sees none"}, 60)
    warnings = client.post("/v1/jobs", json=body).json["warnings"]
    assert "the worker g takes no job: torch sees none" in warnings
    assert any("no live worker serves the queue cuda" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({}, 5),  # AdamW: weights, two averages, gradients, denominators
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, 3),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}, "micro_batches": 2}, 5),
        ({"compute": {"precision": "bfloat16"}}, 5.5),
    ],
)
def test_the_estimate_of_a_gpus_memory_counts_what_is_there_for_each_weight(
    changes: dict[str, Any], weights: float
) -> None:
    compute = {**changes.get("compute", {}), "device": "cuda"}
    spec = read_small_spec(**LARGE, **{**changes, "compute": compute})
    rest = estimate_memory_bytes(spec) - GPU_PROCESS_BYTES - weights * 4 * spec.parameters
    assert 0 <= rest < 0.25 * 4 * spec.parameters  # rows and activations
