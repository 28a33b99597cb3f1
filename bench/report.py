"""Figures of one run: median, minimum and maximum, as a table and as JSON."""

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured quantity: its values in one unit, over the rounds of one run."""

    name: str
    unit: str
    values: list[float]

    @property
    def formatted(self) -> str:
        """Return median (minimum to maximum) and the number of rounds."""
        low, high = min(self.values), max(self.values)
        middle = statistics.median(self.values)
        return f"{middle:,.3g} ({low:,.3g} to {high:,.3g}) {self.unit}, n = {len(self.values)}"


def ratio(name: str, numerators: Sequence[float], denominators: Sequence[float]) -> Figure:
    """Return the ratios round by round, of values that were measured side by side."""
    return Figure(name, "×", [a / b for a, b in zip(numerators, denominators, strict=True)])


def describe_machine() -> dict[str, str]:
    """Describe the machine, with its load before the run."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": f"{models[0] if models else 'unknown'}, {len(os.sched_getaffinity(0))} cores",
        "load before": _load_average(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _load_average() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def show(name: str, title: str, environment: dict[str, str], figures: Sequence[Figure]) -> None:
    """Print a table and write it as JSON, with the load before and after the run."""
    environment = environment | {"load after": _load_average()}
    print(f"\n{title}\n  " + " | ".join(f"{key} {value}" for key, value in environment.items()))
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        print(f"  {figure.name:<{width}}  {figure.formatted}")
    RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    entries = [asdict(figure) for figure in figures]
    payload = {"title": title, "at": stamp, "machine": environment, "figures": entries}
    (RESULTS / f"{stamp}-{name}.json").write_text(json.dumps(payload, indent=1) + "\n")
