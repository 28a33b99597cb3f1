"""docs/api.md: every row names tests that exist, and nothing of the API is without a row."""

import re
from collections.abc import Iterator

from api.app import ENDPOINTS
from api.endpoints import Endpoint
from api.problem_types import PROBLEM_TYPES
from jobs.spec.held_out import Validation
from jobs.spec.job_spec import JobSpecRequest
from jobs.spec.training import Compute, Stop
from tests.support import ROOT

TABLE = (ROOT / "docs" / "api.md").read_text()
TEST = re.compile(r"`(test_\w+)::(test_\w+)`")
UNTESTED = "not tested"


def rows() -> Iterator[str]:
    """Rows of the tables without their heads."""
    previous = ""
    for line in TABLE.splitlines():
        is_head = not previous.startswith("|")
        if line.startswith("|") and not is_head and not line.startswith("| ---"):
            yield line
        previous = line


def section(name: str) -> str:
    return TABLE.partition(f"# {name}\n")[2].partition("\n## ")[0]


def path_of(endpoint: Endpoint) -> str:
    """A path as the document spells it."""
    return re.sub(r"<(\w+)>", r"{\1}", endpoint.path)


def test_every_row_names_a_test_and_every_named_test_exists() -> None:
    table_rows = list(rows())
    assert len(table_rows) > 150
    for row in table_rows:
        assert TEST.search(row) or UNTESTED in row, row
    for file, name in set(TEST.findall(TABLE)):
        text = (ROOT / "tests" / f"{file}.py").read_text()
        assert f"def {name}(" in text, f"{file}::{name}"


def test_every_endpoint_has_a_row() -> None:
    documented = set(re.findall(r"^\| `((?:GET|POST|PATCH|DELETE) /\S*)` \|", TABLE, re.MULTILINE))
    assert documented == {f"{endpoint.method} {path_of(endpoint)}" for endpoint in ENDPOINTS}


def test_the_row_of_an_endpoint_names_the_scope_that_it_needs() -> None:
    for endpoint in ENDPOINTS:
        row = f"| `{endpoint.method} {path_of(endpoint)}` | {endpoint.scope or '–'} |"
        assert row in TABLE, row


def test_every_kind_of_problem_has_a_row_with_its_status() -> None:
    documented = dict(
        re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", section("Problems"), re.MULTILINE)
    )
    assert documented == {kind: str(status) for kind, (status, _) in PROBLEM_TYPES.items()}


def test_every_field_of_a_spec_has_a_row() -> None:
    first = [row.split(" | ")[0] for row in section("JobSpec").splitlines()]
    documented = set(re.findall(r"`([a-z_.]+)`", " ".join(first)))
    inner = {"stop": Stop, "validation": Validation, "compute": Compute}
    for name in JobSpecRequest.model_fields:
        if name not in inner:
            assert name in documented, name
    for name, part in inner.items():
        assert {f"{name}.{field}" for field in part.model_fields} <= documented, name
