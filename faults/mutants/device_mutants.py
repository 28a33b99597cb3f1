"""Mutants of GPUs: who gets which, which can be used, and where a job's device comes from."""

from faults.mutants.mutant import Mutant, edit_once

GPUS = "tests/test_jobs_gpus.py"
CHOICE = "tests/test_jobs_device_choice.py"
SERVE = "tests/test_serving_gpus.py"
PARTS = "tests/test_workers_parts.py"
PATHS = "tests/test_ticks_gpu_paths.py"

MUTANTS = (
    Mutant(
        "worker-sees-every-gpu",
        "all workers of GPUs compute on the first one",
        edit_once("serving/main.py", "{**environment, **gpu_environment(gpu)}", "environment"),
        (f"{SERVE}::test_a_gpus_worker_and_its_fork_server_see_that_gpu_alone",),
    ),
    Mutant(
        "unusable-gpu-takes-jobs",
        "a job that waits for a GPU is told that a worker is busy, whose torch sees no GPU",
        edit_once("jobs/store/lua/queue_positions.lua",
                  " and type(info.device_error) ~= 'string'", ""),
        (f"{SERVE}::test_a_worker_whose_gpu_torch_cannot_use_says_why_and_takes_no_job",),
    ),
    Mutant(
        "unusable-gpu-chosen",
        "auto sends jobs to a GPU that torch cannot use",
        edit_once("jobs/device_choice.py", ' and not worker.get("device_error")', ""),
        (f"{CHOICE}::test_the_device_follows_from_the_spec_and_the_live_workers",),
    ),
    Mutant(
        "missing-gpu-not-told",
        "serve.py starts without a GPU that was asked for",
        edit_once("serving/gpus.py",
                  "    return {number: gpus[number] for number in numbers}",
                  "    return {number: gpus[number] for number in numbers if number in gpus}")
        + edit_once("serving/gpus.py",
                    "if number not in gpus]:", "if number not in gpus and False]:"),
        (f"{GPUS}::test_a_request_counts_the_visible_gpus_and_names_those_that_are_not_there",),
    ),
    Mutant(
        "hidden-gpu-used",
        "a GPU behind an entry of CUDA_VISIBLE_DEVICES that names nothing gets a worker",
        edit_once("jobs/gpus/discovery.py",
                  "is None:\n            break", "is None:\n            continue"),
        (f"{GPUS}::test_visible_devices_are_read_as_cuda_reads_them",),
    ),
    Mutant(
        "device-chosen-and-not-stored",
        "a job's device depends on the workers that live when it is claimed",
        edit_once("jobs/device_choice.py",
                  "resolved = _on_device(spec, decision.device)", "resolved = spec"),
        (f"{CHOICE}::test_the_decision_is_stored_with_the_spec",),
    ),
    Mutant(
        "exact-on-unlike-gpus",
        "auto sends a job that must be exact to GPUs of which one could not go on with it",
        edit_once("jobs/device_choice.py", "len(canaries) > 1", "len(canaries) > 9"),
        (f"{CHOICE}::test_the_device_follows_from_the_spec_and_the_live_workers",),
    ),
    Mutant(
        "gpu-memory-by-a-cpus-rule",
        "what a job needs of a GPU's memory is estimated as on a CPU",
        edit_once("jobs/memory_estimate.py",
                  '_gpu_parts(spec) if spec.queue == "cuda" else _cpu_parts(spec)',
                  "_cpu_parts(spec)"),
        (f"{CHOICE}::test_the_estimate_of_a_gpus_memory_counts_what_is_there_for_each_weight",),
    ),
    Mutant(
        "fork-server-asks-cuda",
        "the fork server counts devices through CUDA, and no trainer can use one",
        edit_once("ticks/process/forkserver.py",
                  "    build_loop.object_key()\n",
                  "    build_loop.object_key()\n    torch.cuda.is_available()\n"),
        (f"{PATHS}::test_the_fork_server_never_touches_cuda",),
    ),
    Mutant(
        "targets-left-on-the-cpu",
        "a batch's targets are not where its net is",
        edit_once("ticks/data/batches.py",
                  "self.inputs.to(device), self.targets.to(device)",
                  "self.inputs.to(device), self.targets"),
        (f"{PATHS}::test_a_tick_leaves_nothing_on_another_device",),
    ),
    Mutant(
        "gpu-not-in-its-canary",
        "GPUs of other sizes and drivers count as equal where a few kernels are",
        edit_once("ticks/canary.py",
                  "if (gpu := describe_gpu(device)) is not None:",
                  "if (gpu := describe_gpu(device)) is not None and False:"),
        (f"{PATHS}::test_equal_kernels_of_unlike_gpus_have_unlike_canaries",),
    ),
    Mutant(
        "gpu-fault-fails-its-job",
        "a job fails for good because the GPU under it did",
        edit_once("workers/outcomes.py", " or is_device_fault(error):", ":"),
        (f"{PARTS}::test_the_error_that_ends_an_attempt_decides_the_jobs_next_status",),
    ),
    Mutant(
        "failed-gpu-trusted",
        "a worker claims the next job without a look at the GPU that has just failed",
        edit_once("workers/canaries.py", "        self._folder.write(CANARIES_FILE, {})\n", ""),
        ("tests/test_workers_devices.py",),
    ),
    Mutant(
        "kernels-by-the-moments-speed",
        "cuDNN may take kernels that differ from run to run",
        edit_once("ticks/machine.py",
                  "    torch.backends.cudnn.deterministic = True\n", ""),
        (f"{PATHS}::test_kernels_that_round_factors_or_differ_from_run_to_run_are_off",),
    ),
)  # fmt: skip
