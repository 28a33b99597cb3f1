"""GPUs found without torch: by the driver's library, by /proc, by CUDA_VISIBLE_DEVICES.

The library is one that shows devices and cannot compute: no GPU is needed here.
"""

from pathlib import Path

import pytest

from jobs.errors import InvalidSetting
from jobs.gpus.discovery import gpu_environment, list_gpus, select_visible
from jobs.gpus.gpu import Gpu
from serving.gpus import check_request, pick_gpus
from tests.fake_nvml import DRIVER, GIB, FakeGpu, FakeMig, build_library
from tests.needs import C_COMPILER, needs

MIGS = (FakeMig("MIG-aa01", "H100 MIG 1g.10gb"), FakeMig("MIG-aa02", "H100 MIG 1g.10gb"))
MACHINE = (
    FakeGpu("GPU-11aa", "NVIDIA H100"),
    FakeGpu("GPU-22bb", "lost", memory=0),
    FakeGpu("GPU-33cc", "NVIDIA H100", migs=MIGS),
    FakeGpu("GPU-33dd", "NVIDIA L4", memory=24 * GIB),
)
INFORMATION = "Model: \t\t NVIDIA L4\nIRQ:   \t\t 65\nGPU UUID: \t {uuid}\nBus Type: \t PCIe\n"
VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC"

#: those of MACHINE as they are found
PLAIN = Gpu(0, "GPU-11aa", "NVIDIA H100", 80 * GIB, DRIVER, "9.0")
FIRST_MIG = Gpu(2, "MIG-aa01", MIGS[0].name, 10 * GIB, DRIVER, "9.0", "GPU-33cc")
SECOND_MIG = Gpu(2, "MIG-aa02", MIGS[1].name, 10 * GIB, DRIVER, "9.0", "GPU-33cc")
SMALL = Gpu(3, "GPU-33dd", "NVIDIA L4", 24 * GIB, DRIVER, "9.0")
LISTED = [PLAIN, FIRST_MIG, SECOND_MIG, SMALL]


@needs(C_COMPILER)
def test_the_drivers_library_lists_gpus_and_mig_devices_and_leaves_out_a_lost_one(
    tmp_path: Path,
) -> None:
    assert list_gpus(str(build_library(tmp_path, MACHINE))) == LISTED


def test_without_the_library_the_kernels_driver_is_read(tmp_path: Path) -> None:
    for bus, uuid in (("0000:21:00.0", "GPU-2222"), ("0000:03:00.0", "GPU-????????-????")):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(INFORMATION.format(uuid=uuid))
    (tmp_path / "version").write_text(VERSION)

    unknown, known = list_gpus("libnone.so.1", tmp_path)

    assert unknown == Gpu(0, None, "NVIDIA L4", None, "580.65.06") and unknown.selector == "0"
    assert known == Gpu(1, "GPU-2222", "NVIDIA L4", None, "580.65.06")
    assert list_gpus("libnone.so.1", tmp_path / "none") == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, LISTED),
        ("", []),
        ("-1", []),
        ("3,0", [SMALL, PLAIN]),
        ("0, 2", [PLAIN, FIRST_MIG]),
        ("1,0", []),  # it does not answer: it hides what follows
        ("0,9,3", [PLAIN]),
        ("GPU-11", [PLAIN]),
        ("GPU-33", []),  # the beginning of two
        ("GPU-33c", [FIRST_MIG]),
        ("MIG-aa02,GPU-33dd", [SECOND_MIG, SMALL]),
        ("0,GPU-11aa", []),  # the same one twice
        ("cuda:0", []),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(
    visible: str | None, expected: list[Gpu]
) -> None:
    assert select_visible(LISTED, visible) == expected


def test_a_worker_sees_its_device_alone() -> None:
    for gpu in LISTED:
        assert select_visible(LISTED, gpu_environment(gpu)["CUDA_VISIBLE_DEVICES"]) == [gpu]


@pytest.mark.parametrize("text", ["", "all", "0,0", "0,", "-1", "1.0", "0 1", "00,0", "9999999"])
def test_a_request_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TICKFORGE_GPUS.*numbers of GPUs separated by commas"):
        check_request(text)


def test_a_request_counts_the_visible_gpus_and_names_those_that_are_not_there() -> None:
    assert pick_gpus("auto", [SMALL, PLAIN]) == {0: SMALL, 1: PLAIN}
    assert pick_gpus(check_request(" 1 "), [SMALL, PLAIN]) == {1: PLAIN}

    with pytest.raises(InvalidSetting, match=r"no GPU 2, 5; there are 0 \(NVIDIA L4\)$"):
        pick_gpus("0,2,5", [SMALL])
    with pytest.raises(InvalidSetting, match="no GPU 0; the driver shows none here .*is ''"):
        pick_gpus("0", [], "")
