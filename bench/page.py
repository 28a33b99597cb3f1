"""`python -m bench.page`: write the figures of docs/performance.md from bench/results/*.json.

Between two markers of the page, `<!-- table NAME -->` and `<!-- end -->`, it puts the figures of
the newest run of that measurement; `<!-- targets -->` gets every target and its result. What was
not measured on this machine stays as it is. Prose is written by hand, figures never.
"""

import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MARKED = re.compile(r"(<!-- (?P<kind>table|targets) ?(?P<name>\w*) -->\n).*?(<!-- end -->)", re.S)
Run = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A target: a bound, at least or at most, for a figure of a measurement."""

    description: str
    benchmark: str
    figure: str
    minimum: float | None = None
    maximum: float | None = None


TARGETS = (
    Target("native, of the kernel by hand, in process", "native",
           "native against the kernel by hand", minimum=0.6),
    Target("native through the whole service, 10^7 ticks, against the article's loop", "service",
           "seed's net, 10,000,000 ticks: service against the loop", minimum=300),
    Target("graph in process, against the loop", "engines",
           "seed's net: graph against the loop", minimum=6),
    Target("10,000 ticks, POST to succeeded, warm, against the loop alone", "service",
           "seed's net, 10,000 ticks: service against the loop", minimum=1),
    Target("mlp 512 through the service, against the loop", "service",
           "mlp 512-512-512, batch 64: service against the loop", minimum=1),
    Target("GPT through the service, against the loop", "service",
           "GPT 4 x 128, batch 16 x 64: service against the loop", minimum=1),
    Target("8 lanes, job-ticks/s on one core", "native", "native, 8 lanes", minimum=25e6),
    *(Target(f"recorded, of in process: {name}", "recording",
             f"{row}: recorded against in process", minimum=0.9)
      for name, row in (("eager", "seed's net, eager"), ("graph", "seed's net, graph"),
                        ("native", "seed's net, native"), ("mlp 512", "mlp 512-512-512, eager"),
                        ("GPT", "GPT 4 x 128, eager"))),
    Target("POST to first tick, ms", "first_tick",
           "POST to first tick seen by a poller", maximum=100),
    Target("a checkpoint of 300 MB, ms that training is held up", "checkpoint",
           "training held up, written aside", maximum=40),
    *(Target(f"{net} through the service, against {peer}", "peers",
             f"{net}: service against {peer}", minimum=1)
      for net in ("mlp 512-512-512, batch 64", "GPT 4 x 128, batch 16 x 64")
      for peer in ("Lightning", "HF Trainer", "ignite")),
    *(Target(f"trained on tables: R² or accuracy less that of {peer}, the lowest of ten", "tables",
             f"least of these medians: service less {peer}", minimum=bound)
      for peer, bound in (("scikit-learn's mlp", -0.03), ("a linear model", -0.05))),
)  # fmt: skip


def main() -> None:
    """Fill the page."""

    def fill(match: re.Match[str]) -> str:
        is_table = match["kind"] == "table"
        content = figures_table(match["name"]) if is_table else targets_table(match[0])
        return match[1] + content + match[4] if content else match[0]

    PAGE.write_text(MARKED.sub(fill, PAGE.read_text()))


def newest_run(benchmark: str) -> Run | None:
    """Return the newest full run of a measurement; quick runs are never shown."""
    paths = sorted(RESULTS.glob(f"*Z-{benchmark}.json"))
    runs: list[Run] = [json.loads(path.read_text()) for path in paths]
    full_runs = [run for run in runs if run.get("at") and "form" not in run["machine"]]
    return full_runs[-1] if full_runs else None


def figures_table(benchmark: str) -> str | None:
    """Return the figures of a measurement, and the machine they come from; None without a run."""
    run = newest_run(benchmark)
    if run is None:
        return None
    lines = ["| | median | min to max | n |", "| --- | ---: | ---: | ---: |"]
    for figure in run["figures"]:
        values, unit = figure["values"], figure["unit"]
        low, high = format_number(min(values)), format_number(max(values))
        middle = format_number(statistics.median(values))
        lines.append(f"| {figure['name']} | {middle} {unit} | {low} to {high} | {len(values)} |")
    environment = ", ".join(f"{name} {value}" for name, value in run["machine"].items())
    return "\n".join([*lines, "", f"{run['at']}: {environment}.", ""])


def targets_table(present: str) -> str:
    """Return a row for every target with its measured value, else its row of the present table."""
    rows_by_target = {row.split(" | ")[0]: row for row in present.splitlines()}
    lines = ["| target | aimed at | measured | |", "| --- | ---: | ---: | --- |"]
    for target in TARGETS:
        sign, goal = ("≥", target.minimum) if target.minimum else ("≤", target.maximum or 0)
        start, goal_text = f"| {target.description}", f"{sign} {format_number(goal)}"
        value = measured_value(target)
        if value is None:
            not_measured = f"{start} | {goal_text} | – | not measured yet |"
            lines.append(rows_by_target.get(start, not_measured))
            continue
        result = describe_result(target, value)
        lines.append(f"{start} | {goal_text} | {format_number(value)} | {result} |")
    return "\n".join([*lines, ""])


def measured_value(target: Target) -> float | None:
    """Return the median of a target's figure, or None if it was not measured."""
    run = newest_run(target.benchmark)
    for figure in run["figures"] if run else []:
        if figure["name"] == target.figure:
            return statistics.median(figure["values"])
    return None


def describe_result(target: Target, value: float) -> str:
    """Return "hit", or by how much the target was missed."""
    goal = target.minimum or target.maximum or 1.0
    shortfall = (goal - value if target.minimum else value - goal) / abs(goal)
    return "hit" if shortfall <= 0 else f"**missed by {shortfall:.{int(shortfall < 0.01)}%}**"


def format_number(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if abs(value) >= 100:
        digits = len(str(int(abs(value)))) - 3
        return f"{int(round(value, -digits)):,}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
