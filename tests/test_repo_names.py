"""Names and layout of the code: words, sizes, class names, and imports that run in a circle."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT

PRODUCT = ("api", "jobs", "workers", "ticks", "models", "serving", "client")
UNIQUE_CLASS_NAMES = ("api", "jobs", "workers", "ticks", "models", "serving")
FOLDERS = (*PRODUCT, "faults", "bench", "tests", "examples")
MAX_LINES = 300
#: words with a private meaning once: none is an identifier, in whatever case
PRIVATE_WORDS = {
    "books", "desk", "post", "care", "kept", "misses", "patience", "shelf", "stock", "volume",
    "holdings", "making", "leash", "told", "asked",
}  # fmt: skip
#: participles that said nothing of the value which they named
EMPTY_WORDS = {"found", "each", "made", "said"}
PATIENCE_FILES = (
    "jobs/spec/training.py", "jobs/spec/metric_rules.py", "jobs/spec/spec_warnings.py",
    "workers/training_attempt.py", "ticks/stopping.py", "tests/",
)  # fmt: skip
#: names on the wire, and where they may stand: a method of HTTP's clients, a rule of the spec, a
#: field of an answer, an option of ticks.engines.graph
WIRE_NAMES = {
    "post": ("client/", "bench/", "faults/", "tests/"),
    "patience": PATIENCE_FILES,
    "Patience": PATIENCE_FILES,
    "kept": ("api/schemas_tenants.py", "api/routes_jobs.py"),
    "leash": ("ticks/engines/graph/__main__.py",),
}


def source_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a file defines or uses, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name, line
            case ast.AsyncFunctionDef(name=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name, line
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name, line
            case ast.alias(name=name, asname=asname):
                yield asname or name.rpartition(".")[2], line


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_identifier_is_a_private_or_empty_word(folder: str) -> None:
    violations = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in source_files(folder)
        for name, line in identifiers(parse(path))
        if name.lower() in PRIVATE_WORDS | EMPTY_WORDS
        and not str(path.relative_to(ROOT)).startswith(WIRE_NAMES.get(name, ()))
    ]
    assert violations == []


def test_no_public_docstring_begins_with_the_same() -> None:
    """A reader of one docstring does not see the one before it."""
    violations = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in source_files(*FOLDERS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and (ast.get_docstring(node) or "").startswith("The same")
    ]
    assert violations == []


def test_no_product_file_is_longer_than_300_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in source_files(*PRODUCT)
    }
    assert {file: length for file, length in lengths.items() if length > MAX_LINES} == {}


def test_a_class_name_occurs_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in source_files(*UNIQUE_CLASS_NAMES):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("room", [*PRODUCT, "faults", "bench"])
def test_imports_within_a_room_run_in_no_circle(room: str) -> None:
    """Imports inside functions and for type checkers count too."""
    graph = import_graph(room)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])), pytrace=False)


def import_graph(room: str) -> dict[str, set[str]]:
    """Return the modules of a room that each of its modules imports."""
    root = ROOT / "client" if room == "client" else ROOT
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in source_files(room)
    }
    return {
        name: {target for target in imported_modules(path, modules) if target != name}
        for name, path in modules.items()
    }


def imported_modules(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in modules:
                    yield name
                elif node.module in modules:
                    yield node.module


def test_a_circle_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_repo_names.ROOT", tmp_path)
    (tmp_path / "room").mkdir()
    (tmp_path / "room/a.py").write_text("def late():\n    from room import b\n")
    (tmp_path / "room/b.py").write_text("from room.a import late\n")
    with pytest.raises(pytest.fail.Exception, match=r"room\.[ab] -> room\.[ab] -> room\.[ab]"):
        test_imports_within_a_room_run_in_no_circle("room")
