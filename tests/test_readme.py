"""The README says what is there: settings, files, commands."""

import re

from tests.support import ROOT

README = (ROOT / "README.md").read_text()
INTERNAL = {"TICKFORGE_API_FD"}  # between serve.py and the API


def test_every_setting_is_listed_and_every_listed_one_exists() -> None:
    sources = ("jobs/settings.py", "serving/options.py", "serving/main.py")
    text = "".join((ROOT / source).read_text() for source in sources)
    read = set(re.findall(r'"(TICKFORGE_[A-Z_]+)"', text)) - INTERNAL
    listed = set(re.findall(r"^\| `TICKFORGE_.*?\|", README, re.M))
    named = {name for row in listed for name in re.findall(r"TICKFORGE_[A-Z_]+", row)}

    assert named == read


def test_every_file_of_the_tree_exists() -> None:
    tree = README.split("## The house")[1].split("```")[1]
    folder, missing = ROOT, []
    for line in tree.strip("\n").splitlines():
        room = re.match(r"(\S+)/ ", line)
        folder = ROOT / room[1] if room else (folder if line.startswith("  ") else ROOT)
        for name in re.findall(r"[a-z_*]+(?:/[a-z_*]+)*\.py|[a-z_]+/(?=[ ,])", line):
            places = (folder, ROOT, folder.parent)
            if not any(list(place.glob(name.rstrip("/"))) for place in places):
                missing.append(name)

    assert missing == []


def test_every_named_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))

    assert set(re.findall(r"`make ([a-z-]+)", README)) <= targets
