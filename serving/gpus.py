"""Which GPUs get a worker: what `--gpus` asks for, among those that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.errors import InvalidSetting
from jobs.gpus.discovery import VISIBLE_VARIABLE, find_gpus
from jobs.gpus.gpu import Gpu

VARIABLE = "TICKFORGE_GPUS"
AUTO, NONE = "auto", "none"
RULE = "auto, none, or numbers of GPUs separated by commas, each once: 0 or 0,1"


def check_request(text: str) -> str:
    """Return what `--gpus` asks for, without spaces. Raises InvalidSetting."""
    request = text.strip()
    if request in (AUTO, NONE):
        return request
    numbers = [part.strip() for part in request.split(",")]
    are_numbers = all(part.isascii() and part.isdigit() and len(part) < 6 for part in numbers)
    if not are_numbers or len(set(map(int, numbers))) < len(numbers):
        raise InvalidSetting(f"{VARIABLE}={text!r}: {RULE}")
    return ",".join(numbers)


def select_gpus(request: str, environ: Mapping[str, str]) -> dict[int, Gpu]:
    """Return the GPUs that get a worker, by number. Raises InvalidSetting for one not there.

    A number is the GPU's place among those that `environ` lets a process see. Forks.
    """
    if request == NONE:
        return {}
    return pick_gpus(request, find_gpus(environ), environ.get(VISIBLE_VARIABLE))


def pick_gpus(request: str, visible: Sequence[Gpu], limit: str | None = None) -> dict[int, Gpu]:
    """Return those of the visible GPUs that a request names, by number. Raises InvalidSetting.

    `limit` is the value of CUDA_VISIBLE_DEVICES, for the error.
    """
    gpus = dict(enumerate(visible))
    if request == AUTO:
        return gpus
    numbers = [int(part) for part in request.split(",")]
    if missing := [number for number in numbers if number not in gpus]:
        names = ", ".join(map(str, missing))
        hint = "" if limit is None else f" ({VISIBLE_VARIABLE} is {limit!r})"
        raise InvalidSetting(f"{VARIABLE}={request!r}: no GPU {names}; {_describe(gpus)}{hint}")
    return {number: gpus[number] for number in numbers}


def _describe(gpus: Mapping[int, Gpu]) -> str:
    if not gpus:
        return "the driver shows none here"
    return "there are " + ", ".join(f"{number} ({gpu.name})" for number, gpu in gpus.items())
