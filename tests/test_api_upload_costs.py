"""No upload costs more than what was sent: processor time grows with its bytes, as does memory."""

import json
import subprocess
import sys

import pytest

from tests.costly_uploads import PARQUET, UPLOADS
from tests.needs import PYARROW, needs
from tests.upload_costs import MAX_RATIO

MAX_MEMORY = 64 << 20  # beside four times the body
NAMES = {
    is_packed: [name for name, (kind, *_) in UPLOADS.items() if (kind == PARQUET) is is_packed]
    for is_packed in (False, True)
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [NAMES[False], pytest.param(NAMES[True], marks=needs(PYARROW))], ids=["all", "parquet"]
)
def test_an_upload_takes_time_and_memory_by_its_bytes_alone(names: list[str]) -> None:
    """Twice the bytes take three times the processor time at most."""
    command = [sys.executable, "-m", "tests.upload_costs", *names]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    costs = {cost["name"]: cost for cost in map(json.loads, lines)}
    slow = [cost for cost in costs.values() if cost["seconds"][1] > MAX_RATIO * cost["seconds"][0]]
    large = [cost for cost in costs.values() if cost["memory"] > 4 * cost["body"] + MAX_MEMORY]
    assert list(costs) == names
    assert (slow, large) == ([], [])
