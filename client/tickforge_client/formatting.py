"""Formats jobs, lists and plans as plain text. Knows no terminal, no HTTP, no colour.

Names and labels may be written by others: characters that could control a terminal are replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Fields = Mapping[str, Any]


def plain_text(value: object, *, keep: str = "") -> str:
    """Return a value with every unprintable character replaced, but for those of `keep`.

    Line ends, escapes, C1 controls and marks that turn the direction of writing are unprintable.
    """
    return "".join(char if char.isprintable() or char in keep else "�" for char in str(value))


def number_text(value: float | None) -> str:
    """Return a number with five significant digits; "-" for None."""
    return "-" if value is None else f"{value:.5g}"


def count_text(count: int | None) -> str:
    """Return an integer with commas between thousands; "-" for None."""
    return "-" if count is None else f"{count:,}"


def metrics_text(metrics: Mapping[str, float | None]) -> str:
    """Return metrics as "name=value  name=value"."""
    return _pairs_text({name: number_text(value) for name, value in metrics.items()})


def duration_text(seconds: float | None) -> str:
    """Return a duration in seconds as "8.1 s", "5 min 03 s" or "2 h 05 min"; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size_text(count: int) -> str:
    """Return a number of bytes with a fitting decimal unit, at most GB."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the loop returns")


def device_text(worker: Fields) -> str:
    """Return what a worker computes on: "cpu", or a GPU's name and memory."""
    gpu = worker.get("gpu") or {}
    name, memory = gpu.get("name"), gpu.get("memory_bytes")
    parts = [worker.get("device"), name, None if memory is None else size_text(memory)]
    return plain_text(", ".join(part for part in parts if part))


def occupation_text(worker: Fields) -> str:
    """Return the job of a worker, or why it has none."""
    if worker.get("device_error"):
        return "device error"
    return plain_text(worker.get("job") or ("busy" if worker.get("busy") else "idle"))


def ticks_text(job: Fields) -> str:
    """Return a job's tick, with the total if that is known: "500/10,000"."""
    total = job["ticks_total"]
    return f"{job['tick']:,}" if total is None else f"{job['tick']:,}/{total:,}"


def skipped_text(job: Fields) -> str:
    """Return how many of a job's ticks were skipped; nothing where none was, or none is counted."""
    return f"{count:,} ticks skipped" if (count := job.get("skipped")) else ""


def status_text(job: Fields) -> str:
    """Return a job's status with its phase, queue reason, requested action or stop reason."""
    words = [str(job["status"])]
    if job["status"] == "running" and job["phase"] not in (None, "training"):
        words.append(f"({job['phase']})")
    if job["status"] == "queued" and (queue := job["queue"]) and queue["reason"]:
        words.append(f"({_QUEUE.get(queue['reason'], queue['reason'])})")
    if job["requested"]:
        words.append(f"({job['requested']} requested)")
    if job["status"] == "succeeded" and job["stopped_by"] not in (None, "budget"):
        words.append(f"({job['stopped_by']})")
    return plain_text(" ".join(words))


_QUEUE = {
    "no_worker": "waits for a worker to start",
    "busy": "waits for a worker to be free",
    "quota": "waits until fewer jobs of its tenant run",
    "fingerprint": "waits for a worker whose arithmetic is equal",
}


def progress_line(job: Fields) -> str:
    """Return one line with a job's status, tick, loss, rate and remaining time."""
    parts = [status_text(job), f"tick {ticks_text(job)}"]
    if job["loss"] is not None:
        parts.append(f"loss {number_text(job['loss'])}")
    if job["status"] == "running":
        if job["ticks_per_second"]:
            parts.append(f"{job['ticks_per_second']:,.0f} ticks/s")
        if job["eta_seconds"] is not None:
            parts.append(f"ETA {duration_text(job['eta_seconds'])}")
    return "  ".join(parts)


def result_lines(job: Fields) -> list[str]:
    """Return lines with the outcome of an ended job: status, error, loss and metrics."""
    lines = [
        f"{plain_text(job['name'])} {status_text(job)} at tick {ticks_text(job)} "
        f"after {duration_text(job['elapsed_seconds'])} of training"
    ]
    if error := job["error"]:
        lines.append(plain_text(f"{error['type']}: {error['detail']}"))
    if skipped := skipped_text(job):
        lines.append(f"{skipped}: their losses were not finite, their updates not applied")
    metrics = {"loss": job["loss"], **job["metrics"]}
    lines.append("  ".join(f"{name} {number_text(value)}" for name, value in metrics.items()))
    return lines


def _best_text(best: Fields) -> str:
    """Return metric, value and tick of the best validation, and its other metrics."""
    text = f"{best['metric']} {number_text(best['value'])} at tick {best['tick']:,}"
    metrics = dict(best.get("metrics", {}))  # a service of an earlier build has none
    metrics.pop(best["metric"], None)
    return f"{text}: {metrics_text(metrics)}" if metrics else text


def detail_lines(job: Fields) -> list[str]:
    """Return one line per field of a job; empty fields are left out."""
    best, error = job["best"], job["error"]
    rows = {
        "id": job["id"],
        "name": job["name"],
        "status": status_text(job),
        "tick": ticks_text(job),
        "epoch": number_text(job["epoch"]),
        "skipped": skipped_text(job),
        "loss": number_text(job["loss"]),
        "metrics": metrics_text(job["metrics"]),
        "best": best and _best_text(best),
        "rate": f"{job['ticks_per_second']:,.0f} ticks/s" if job["ticks_per_second"] else "",
        "trained": duration_text(job["elapsed_seconds"]),
        "ETA": duration_text(job["eta_seconds"]) if job["eta_seconds"] is not None else "",
        "checkpoint": "" if job["latest_checkpoint"] is None else f"{job['latest_checkpoint']:,}",
        "error": error and f"{error['type']}: {error['detail']}",
        "worker": job["worker"],
        "engine": job["engine"],
        "attempt": job["attempt"],
        "exact": "yes" if job["exact"] else "no",
        "labels": _pairs_text(job["labels"]),
        "notes": job["notes"],
        "created": job["created_at"],
        "started": job["started_at"] or "",
        "finished": job["finished_at"] or "",
    }
    return key_value_lines(rows)


def key_value_lines(rows: Mapping[str, object]) -> list[str]:
    """Return aligned lines of name and value; rows whose value is "" or None are left out."""
    pairs = {name: plain_text(value) for name, value in rows.items() if value not in ("", None)}
    width = max(map(len, pairs), default=0)
    return [f"{name:<{width}}  {value}" for name, value in pairs.items()]


def table_lines(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table with aligned columns under `head`; columns of numbers are right-aligned."""
    cells = [list(head), *([plain_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    are_numbers = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    alignments = [">" if rows and is_number else "<" for is_number in are_numbers]
    columns = list(zip(alignments, widths, strict=True))
    return ["  ".join(_align_row(row, columns)).rstrip() for row in cells]


def _align_row(row: Sequence[str], columns: Sequence[tuple[str, int]]) -> Iterator[str]:
    for cell, (alignment, width) in zip(row, columns, strict=True):
        yield f"{cell:{alignment}{width}}"


def _pairs_text(values: Mapping[str, object]) -> str:
    return "  ".join(f"{name}={value}" for name, value in values.items())
