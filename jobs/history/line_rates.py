"""The learning rates of a job's whole line: those of the jobs before it, then its own."""

from jobs.history.learning_rate import RateFunction
from jobs.job import Job
from jobs.spec.training import Schedule


def line_rate(job: Job) -> RateFunction:
    """Return the function from a tick of the line to the rate that was used in it."""
    if not job.lineage:
        return job.spec.rate
    ancestors = [(entry, Schedule.model_validate(entry.schedule)) for entry in job.lineage]

    def rate(tick: int) -> float:
        for entry, schedule in ancestors:
            if tick <= entry.last_tick:
                return schedule.rate(entry.lr, tick, entry.ticks_total)
        return job.spec.rate(tick)

    return rate


def find_knees(job: Job) -> list[int]:
    """Return the ticks between which each rate of the line is monotone, with both neighbours."""
    warmups = [int(entry.schedule["warmup_ticks"]) for entry in job.lineage]
    ends = [*warmups, job.spec.schedule.warmup_ticks, *(entry.last_tick for entry in job.lineage)]
    return sorted({tick for end in ends for tick in (end, end + 1)})
