#!/usr/bin/env bash
# torch 2.13.0 (MKL 2024.2): the first sqrt of a process, on two threads, can be wrong in one half.
#
# Expected: sqrt of equal numbers is equal bits at the first call of a process and at every later
#   one, on any number of threads (certainly under torch.use_deterministic_algorithms).
# Is: now and then one thread's half comes from kernels of lower accuracy (relative 2e-4). So it is
#   with exp, log, tanh, erf, sin: whatever torch gives to MKL's vector math, and calls first.
# Why: mkl_vml_serv_cpu_detect stores the processor's type without a lock, and in two steps: MKL's
#   own number for it (9 with AVX-512, 7 with AVX2), then that number's row in the table of kernels
#   (5, 3). A thread that reads between the two takes row 9, which is one of another accuracy.
#   Between them lies one read of memory, which a forked process has to map first, and a machine
#   short of memory to fetch from the disk. The latter is brought about here.
#   Only for processors of Intel's do the numbers differ; any other is made to look like one (gcc).
# Way out: one call of one element before there are two threads.
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 5 minutes.
# TORCH_PYTHON=/path/to/python: use its torch, which no other process may have loaded meanwhile.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

grep -m 1 "model name" /proc/cpuinfo
if ! grep -q GenuineIntel /proc/cpuinfo; then
    command -v gcc > /dev/null || { echo "not of Intel's, and no gcc: cannot be tried"; exit 3; }
    echo "not of Intel's: MKL is told that it is"
    echo "int mkl_serv_intel_cpu_true(void) { return 1; }" |
        gcc -shared -fPIC -x c -o "$folder/intel.so" -
fi
python=${TORCH_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet torch==2.13.0
    python=$folder/venv/bin/python
fi
[ -f "$folder/intel.so" ] && export LD_PRELOAD=$folder/intel.so
OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 timeout 290 "$python" -W ignore - <<'PYTHON'
import ctypes
import os
import sys
from pathlib import Path

import torch

CHILDREN, NUMBERS, ROOM = 100, 100_000, 1 << 16  # of each kind; in a tensor; bytes fetched anew
FILE = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
C, MKL = ctypes.CDLL(None), ctypes.CDLL(str(FILE))


def table():
    """Find the table that is read between the two steps: address, offset in the file."""
    code = ctypes.cast(MKL.mkl_vml_serv_cpu_detect, ctypes.c_void_p).value
    at = code + ctypes.string_at(code, 64).index(b"\x48\x8d\x0d")  # lea table(%rip), %rcx
    address = (at + 7 + ctypes.c_int32.from_address(at + 3).value) // ROOM * ROOM
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(each, 16) for each in line.split()[0].split("-"))
        if first <= address < last:
            return address, int(line.split()[2], 16) + address - first


def forget(address, offset):
    """Have the table's surroundings fetched from the disk when they are read next."""
    assert C.madvise(ctypes.c_void_p(address), ctypes.c_size_t(ROOM), 4) == 0  # MADV_DONTNEED
    with FILE.open("rb") as file:
        os.posix_fadvise(file.fileno(), offset, ROOM, os.POSIX_FADV_DONTNEED)


def child(warm_up):
    """Compute twice on two threads: how many numbers differ, and by how much."""
    if warm_up:
        torch.sqrt(torch.ones(1))
    torch.set_num_threads(2)
    numbers = torch.arange(1, NUMBERS + 1, dtype=torch.float32)
    first, second = numbers.sqrt(), numbers.sqrt()
    return f"{(first != second).sum().item()} by {((first - second).abs() / second).max():.0e}"


def forked(warm_up):
    """Fork a child, and return what it says."""
    forget(*table())
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, child(warm_up).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading) as pipe:
        return pipe.read()


torch.use_deterministic_algorithms(True)
mkl = next(line.strip() for line in torch.__config__.show().splitlines() if "Kernel" in line)
print("torch", torch.__version__, mkl)
found = [{}, {}]
for warm_up in (False, True):
    for said in (forked(warm_up) for _ in range(CHILDREN)):
        found[warm_up][said] = found[warm_up].get(said, 0) + 1
    print(f"{'with' if warm_up else 'without'} one call before, of {NUMBERS:,} numbers differ:")
    print(*(f"  {said}: {count} children" for said, count in found[warm_up].items()), sep="\n")
sys.exit(0 if len(found[False]) > 1 and list(found[True]) == ["0 by 0e+00"] else 1)
PYTHON
