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

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
#: what stands behind a file or an arrow in a walk: functions, methods, attributes
CALLED = re.compile(r"(?:\.py`(?:\*\*)?,\s|→\s+)`([A-Za-z_][\w.]*)`")
STEP = re.compile(r"^\d+\. .*(?:\n {2,}.*)*", re.M)


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


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
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


def walks() -> dict[str, str]:
    """Return the text of each of the four walks by its title."""
    section = ARCHITECTURE.partition("## Four walks")[2].partition("\n## ")[0]
    return dict(part.split("\n", 1) for part in section.split("\n### ")[1:])


def test_every_file_and_function_of_a_walk_exists() -> None:
    assert len(walks()) == 4
    for walk in walks().values():
        text = "".join((ROOT / name).read_text() for name in FILE.findall(walk))
        for step in STEP.findall(walk):
            for name in CALLED.findall(step):
                for part in name.split("."):
                    pattern = (
                        rf"^ *(?:(?:def|class|local function) {part}\b|{part}: |self\.{part}\b)"
                    )
                    assert re.search(pattern, text, re.M) or f"/{part}.py" in walk, name


@pytest.mark.parametrize(
    ("title", "max_files"),
    [("A job", 35), ("A loss", 22), ("A checkpoint", 22), ("A cancel", 14)],
)
def test_a_walk_takes_no_more_files_than_it_should(title: str, max_files: int) -> None:
    (walk,) = (text for name, text in walks().items() if name.startswith(title + ","))
    to_open = set(re.findall(r"\*\*`(\S+)`\*\*", walk))

    assert 5 < len(to_open) <= max_files


def test_the_glossary_is_alphabetical_and_has_every_word_once() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \|$", ARCHITECTURE.partition("## Glossary")[2], re.M)
    words = [row for row in rows if row not in ("word", "---")]

    assert len(words) > 90
    assert words == sorted(set(words), key=str.lower)
