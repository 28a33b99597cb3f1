"""The documents link to, and name, what exists: files, headings, identifiers, tests, targets."""

import re
from collections.abc import Iterator

import pytest

from tests.support import ROOT

PAGES = [
    "README.md", "CONTRIBUTING.md", "client/README.md", "deploy/README.md",
    *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))),
]  # fmt: skip
ROOMS = ("api", "jobs", "workers", "ticks", "models", "serving", "faults")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?:[a-z_]+/)+[a-z_0-9]+\.(?:py|lua|acl|yaml|md|json|csv|txt)")


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def sources() -> Iterator[str]:
    for folder in (*ROOMS, "client", "bench", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".lua", ".c", ".h"):
                yield path.read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(page: str) -> None:
    named = {
        name for code in CODE.findall((ROOT / page).read_text()) for name in FILE.findall(code)
    }
    ours = {name for name in named if name.split("/")[0] in (*ROOMS, "tests", "examples", "deploy")}

    assert [name for name in sorted(ours) if not (ROOT / name).exists()] == []


def test_every_identifier_that_contributing_names_exists() -> None:
    codes = CODE.findall(CONTRIBUTING)
    named = {
        match[1] for code in codes if (match := re.match(r"([A-Za-z_.]*[A-Za-z])(\(|$)", code))
    }
    words = set(re.findall(r"\w+", "\n".join(sources())))
    files = {path.stem for path in (ROOT / "tests").glob("*.py")}

    assert len(named) > 60
    assert {name.rpartition(".")[2] for name in named} - words - files - {"mypy"} == set()


def test_every_test_that_contributing_names_exists() -> None:
    files = {file.stem: file.read_text() for file in (ROOT / "tests").glob("*.py")}
    for name in set(re.findall(r"\b(test_[a-z]+_\w+)\b", CONTRIBUTING)):
        is_test = any(f"def {name}(" in text for text in files.values())
        is_prefix = name.endswith("_") and any(file.startswith(name) for file in files)
        assert name in files or is_test or is_prefix or f"not `{name}" in CONTRIBUTING, name


def test_every_make_target_that_contributing_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))

    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", CONTRIBUTING, re.M)
    assert {first or second for first, second in named} <= targets
