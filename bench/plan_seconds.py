"""A plan's `seconds` against the training time that the job took then, over the examples.

Each spec is planned and run in turn: in the first round it is expected by others that resemble it,
where there are any, in later rounds by its own rate.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.report import Figure
from bench.service import ROOT, BenchService, running_service

Spec = dict[str, Any]
#: what the examples are changed to, so that there is something that resembles them
VARIANTS: Mapping[str, tuple[Spec, ...]] = {
    "digits": ({"hidden": [96, 96]}, {"hidden": [64, 64, 64]}, {"norm": "none"}),
    "seed_layernorm": ({"hidden": [100]}, {"hidden": [50, 50]}),
    "seed_plain": ({"hidden": [100]}, {"activation": "tanh"}),
    "text": ({"width": 96}, {"layers": 3}),
}


def measure(rounds: int, variants: int = 3) -> list[Figure]:
    """Plan and run all examples and their variants; the errors are in % of the time taken."""
    specs = list(_specs(variants))
    by_others, by_itself = list[float](), list[float]()
    with running_service() as service:
        for number in range(rounds + 1):
            errors = [_error(service, spec) for spec in specs]
            known_errors = [error for error in errors if error is not None]
            (by_itself if number else by_others).extend(known_errors)
    missing = len(specs) - len(by_others)
    return [
        Figure("jobs whose plan had no seconds, first round", f"of {len(specs)}", [missing]),
        Figure("error, expected by jobs that resemble it", "%", by_others),
        Figure("error, expected by its own rate", "%", by_itself),
    ]


def _specs(variants: int) -> Iterator[Spec]:
    for name, changes in VARIANTS.items():
        spec = json.loads((ROOT / "examples" / f"{name}.json").read_text())
        yield spec
        for change in changes[:variants]:
            yield {**spec, "model": {**spec["model"], **change}}


def _error(service: BenchService, spec: Spec) -> float | None:
    response = service.http.post("/v1/jobs/plan", json=spec)
    response.raise_for_status()
    seconds = response.json()["seconds"]
    taken = service.run(spec)[1]["elapsed_seconds"]
    return None if seconds is None else 100 * abs(seconds / taken - 1)
