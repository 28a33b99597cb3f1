"""The GPUs as the kernel's driver lists them in /proc, where its management library is missing."""

from pathlib import Path

from jobs.gpus.gpu import Gpu

DRIVER_FOLDER = Path("/proc/driver/nvidia")


def list_gpus(folder: Path = DRIVER_FOLDER) -> list[Gpu]:
    """Return the GPUs in PCI bus order, without their memory."""
    driver = read_version(folder)
    gpus = []
    for index, path in enumerate(sorted(folder.glob("gpus/*/information"))):
        fields = _read_fields(path)
        uuid = fields.get("GPU UUID", "")
        is_known = uuid.startswith("GPU-") and "?" not in uuid  # before its first use: GPU-????
        gpus.append(
            Gpu(index, uuid if is_known else None, fields.get("Model", "GPU"), None, driver)
        )
    return gpus


def read_version(folder: Path = DRIVER_FOLDER) -> str | None:
    """Return the driver's version; None where there is none."""
    try:
        words = (folder / "version").read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def _read_fields(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
