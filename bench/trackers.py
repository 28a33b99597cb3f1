"""Exports of 10^6 ticks over HTTP: seconds, processor time, size, and what the API grows by."""

import time

import psutil

from bench.growth import make_spec
from bench.report import Figure
from bench.service import BenchService, running_service

MEBIBYTE = 2**20
FORMS = ("tensorboard", "wandb")
MEASURES = {"": "s", "processor time": "s", "size": "MiB"}


def measure(rounds: int, *, ticks: int = 10**6) -> list[Figure]:
    """Export one job in each form, `rounds` times in turn."""
    values: dict[tuple[str, str], list[float]] = {(f, m): [] for f in FORMS for m in MEASURES}
    with running_service() as service:
        _, job = service.run(make_spec(ticks))
        _export(service, job["id"], "tensorboard?columns=lr")  # what is read for the first time
        memory = _api_memory(service)
        for _ in range(rounds):
            for form in FORMS:
                begun, used = time.perf_counter(), _api_seconds(service)
                size = _export(service, job["id"], form)
                values[form, ""].append(time.perf_counter() - begun)
                values[form, "processor time"].append(_api_seconds(service) - used)
                values[form, "size"].append(size / MEBIBYTE)
        growth = _api_memory(service) - memory
    figures = [
        Figure(f"{ticks:,} ticks: {form}{name and ', ' + name}", MEASURES[name], measured)
        for (form, name), measured in values.items()
    ]
    return [*figures, Figure("growth of the API's processes", "MiB", [growth])]


def _export(service: BenchService, job_id: str, form: str) -> int:
    """Read an export to its end, as it comes; return its bytes."""
    with service.http.stream("GET", f"/v1/jobs/{job_id}/export/{form}", timeout=600) as response:
        response.raise_for_status()
        return sum(len(piece) for piece in response.iter_raw())


def _api_memory(service: BenchService) -> float:
    """Return the resident MiB of all processes of the API."""
    return sum(process.memory_info().rss for process in _api_processes(service)) / MEBIBYTE


def _api_seconds(service: BenchService) -> float:
    """Return the processor time that the processes of the API have used."""
    times = [process.cpu_times() for process in _api_processes(service)]
    return sum(used.user + used.system for used in times)


def _api_processes(service: BenchService) -> list[psutil.Process]:
    parent = service.process_of("-m api")
    return [parent, *parent.children(recursive=True)]
