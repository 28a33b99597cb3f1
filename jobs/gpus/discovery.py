"""Which GPUs a process with a given environment can compute on."""

import json
import os
import select
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.gpus import kernel_driver, nvml
from jobs.gpus.gpu import Gpu

VISIBLE_VARIABLE, ORDER_VARIABLE = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
#: for the management library, which a broken driver may hold up for ever
SECONDS_TO_ANSWER = 20.0


def find_gpus(environ: Mapping[str, str]) -> list[Gpu]:
    """Return the devices that CUDA shows a process with this environment, in its order.

    The driver's library is asked in a fork of this process, which must have one thread: here it
    would leave open files and its state to everything that is forked later, and it may hang.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _set_up_child()
            os.write(sender, json.dumps([gpu.describe() for gpu in list_gpus()]).encode())
        finally:
            os._exit(0)
    os.close(sender)
    with open(receiver, "rb") as answer:
        is_answered = bool(select.select([answer], [], [], SECONDS_TO_ANSWER)[0])
        text = answer.read() if is_answered else b""
    if not is_answered:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    gpus = [Gpu(**fields) for fields in json.loads(text or b"[]")]
    return select_visible(gpus, environ.get(VISIBLE_VARIABLE))


def list_gpus(
    library: str = nvml.LIBRARY, driver_folder: Path = kernel_driver.DRIVER_FOLDER
) -> list[Gpu]:
    """Return all devices of this machine, whatever the environment hides of them."""
    try:
        with nvml.Nvml(library) as management:
            return management.list_gpus()
    except nvml.NvmlError:
        return kernel_driver.list_gpus(driver_folder)


def select_visible(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """Return the devices that CUDA_VISIBLE_DEVICES leaves, in its order; None leaves all.

    As CUDA reads it: numbers (in PCI bus order), uuids of GPUs and MIG devices or their
    beginnings; an entry that names nothing hides itself and all after it, and one that is
    repeated hides all. A GPU in MIG mode stands for its first MIG device.
    """
    if visible is None:
        return list(gpus)
    selected: list[Gpu] = []
    for entry in visible.split(","):
        if (gpu := _find_gpu(gpus, entry.strip())) is None:
            break
        selected.append(gpu)
    return selected if len(set(selected)) == len(selected) else []


def gpu_environment(gpu: Gpu) -> dict[str, str]:
    """Return the variables with which a process sees this device alone."""
    return {VISIBLE_VARIABLE: gpu.selector, ORDER_VARIABLE: "PCI_BUS_ID"}


def _find_gpu(gpus: Sequence[Gpu], entry: str) -> Gpu | None:
    if entry.isascii() and entry.isdigit():
        return next((gpu for gpu in gpus if gpu.index == int(entry)), None)
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    named = [gpu for gpu in gpus if (gpu.uuid or "").startswith(entry)]
    parents = {gpu.parent for gpu in gpus if (gpu.parent or "").startswith(entry)}
    if len(named) + len(parents) != 1:  # none, or the beginning of several
        return None
    return next(iter(named), None) or next(gpu for gpu in gpus if gpu.parent in parents)


def _set_up_child() -> None:
    """Leave a Ctrl-C to the parent, and keep what the driver's library prints to itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
