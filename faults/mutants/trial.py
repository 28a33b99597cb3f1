"""Try mutants: run tests on a copy of the tree as it is, then with one fault after another.

A mutant is killed when one of its tests fails by an assertion or by an error of our code. A test
that cannot be collected, or that fails by the edit itself (a NameError …), shows nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
FORKSERVER = Path("faults", "mutants", "pytest_forkserver.py")
#: errors of a badly made edit, not of the behaviour that it changes
EDIT_ERRORS = ("ImportError", "ModuleNotFoundError", "SyntaxError", "NameError", "IndentationError",
               "AttributeError", "TypeError", "ResponseError")  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The result of one trial; `killer` is the test that saw the mutant, or None."""

    name: str
    killer: str | None
    seconds: float
    message: str


class UnhealthyTree(Exception):
    """The tests do not pass on the unchanged tree, so they say nothing about a mutant."""


class TreeCopy:
    """A copy of the tree, with a fork server that runs tests in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self._forkserver = subprocess.Popen(
            [sys.executable, str(FORKSERVER)], cwd=root, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def end(self) -> None:
        """End the fork server."""
        self._forkserver.communicate()

    def check_healthy(self, mutants: Iterable[Mutant]) -> None:
        """Run the tests of all mutants on the unchanged tree. Raises UnhealthyTree if one fails."""
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        failed, message = self._run(tests, writes_bytecode=True)
        if failed is not None:
            raise UnhealthyTree(f"without any mutant {failed} fails: {message}")

    def try_mutant(self, mutant: Mutant) -> Verdict:
        """Try one mutant on a healthy tree, and restore the tree with its times of change.

        By these Python tells that the bytecode of the healthy tree still fits its files.
        """
        paths = {self.root / edit.file for edit in mutant.edits}
        before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
        started = time.monotonic()
        try:
            mutant.apply(self.root)
            killer, message = self._run(mutant.tests)
        except UnhealthyTree as error:
            killer, message = None, str(error)
        finally:
            for path, (text, changed_at) in before.items():
                path.write_bytes(text)
                os.utime(path, ns=(changed_at, changed_at))
        return Verdict(mutant.name, killer, time.monotonic() - started, message)

    def _run(
        self, tests: Sequence[str], *, writes_bytecode: bool = False
    ) -> tuple[str | None, str]:
        """Run tests; return the first that failed for a reason of behaviour, and its message."""
        report, log = self.root / "report.xml", self.root / "report.txt"
        report.unlink(missing_ok=True)
        code = self._pytest(str(log), writes_bytecode, "-q", "-x", f"--junitxml={report}", *tests)
        if code == 0:
            return None, "all tests passed"
        failure = _read_failure(report) if code == 1 and report.exists() else None
        if failure is None:
            raise UnhealthyTree(f"the tests did not run: {log.read_text()[-2000:]}")
        return failure

    def _pytest(self, *request: str | bool) -> int:
        assert self._forkserver.stdin is not None and self._forkserver.stdout is not None
        self._forkserver.stdin.write(json.dumps(request) + "\n")
        self._forkserver.stdin.flush()
        reply = self._forkserver.stdout.readline()
        assert reply, "the fork server has ended"
        return int(reply)


@contextmanager
def tree_copy() -> Iterator[TreeCopy]:
    """Make a copy of the tree without hidden files and data."""
    with tempfile.TemporaryDirectory(prefix="tickforge-mutant-") as folder:
        shutil.copytree(ROOT, folder, ignore=_ignored_names, dirs_exist_ok=True)
        copy = TreeCopy(Path(folder))
        try:
            yield copy
        finally:
            copy.end()


def _ignored_names(folder: str, names: list[str]) -> set[str]:
    data = {"data"} if Path(folder) == ROOT else set()
    return data | {name for name in names if name.startswith(".") or name == "__pycache__"}


def _read_failure(report: Path) -> tuple[str, str] | None:
    """Return the failed test and its message; None if it failed by the edit itself."""
    for case in ElementTree.parse(report).iter("testcase"):
        failure = case.find("failure")
        if failure is not None:
            message = failure.get("message", "").split("\n")[0]
            kind = message.split(":")[0].rsplit(".", 1)[-1]
            return None if kind in EDIT_ERRORS else (case.get("name", "?"), message)
    return None
