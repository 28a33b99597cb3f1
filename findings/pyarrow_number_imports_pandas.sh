#!/usr/bin/env bash
# pyarrow 26.0.1 with pandas 3.1.1 beside it: a number loads pandas, a list of numbers read does not.
#
# Expected: pandas is loaded when something of pandas is asked for (to_pandas, a DataFrame). A service
#   that reads Parquet into Python or numpy values has the memory of pyarrow, whatever else is
#   installed in its environment.
# Is: pa.scalar(0), pa.array([0]), Array.to_numpy and compute.fill_null(array, 0) import the whole of
#   pandas where it is installed (some 45 MiB and 0.2 s, in each process and within the first call);
#   to_pylist, compute.cast and an array made of buffers do not. Without pandas the results are equal.
# Way out: none in pyarrow; make the first scalar before a process is forked, or keep pandas out of
#   the environment of a service. Whoever measures what reading costs makes one first.
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 3 minutes.
# ARROW_PYTHON=/path/to/python: use its packages.
set -euo pipefail
folder=$(mktemp -d /tmp/pyarrow-pandas-XXXXXX)
trap 'rm -rf "$folder"' EXIT
python=${ARROW_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6 || exit 3
    python=$folder/venv/bin/python
fi
timeout 120 "$python" - <<'PYTHON'
import importlib.metadata
import subprocess
import sys

BUFFERS = "pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(np.zeros(1, 'i8'))])"
IMPORTS_PANDAS = {
    "pa.scalar(0)": True,
    "pa.array([0])": True,
    f"{BUFFERS}.to_numpy(zero_copy_only=False)": True,
    f"pc.fill_null({BUFFERS}, 0)": True,
    f"{BUFFERS}.to_pylist()": False,
    f"pc.cast({BUFFERS}, pa.float64())": False,
}
PROGRAM = """
import sys, resource
import numpy as np, pyarrow as pa, pyarrow.compute as pc
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{call}
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print('pandas' in sys.modules, (after - before) // 1024)
"""

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("pyarrow", "pandas", "numpy")))
is_as_described = True
for call, expected in IMPORTS_PANDAS.items():
    program = PROGRAM.format(call=call)
    words = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    has_pandas, mebibytes = words.stdout.split()
    print(f"{call.replace(BUFFERS, 'array'):<40} pandas loaded: {has_pandas:<5} +{mebibytes} MiB")
    is_as_described &= (has_pandas == "True") is expected
sys.exit(0 if is_as_described else 1)
PYTHON
