"""The README names the settings, folders and commands that exist, and a valid spec."""

import json
import re

from jobs.settings import Settings
from jobs.spec.reading import read_spec
from tests.support import ROOT

README = (ROOT / "README.md").read_text()
INTERNAL = {"TICKFORGE_API_FD"}  # between serve.py and the API


def test_every_setting_is_listed_and_every_listed_one_exists() -> None:
    sources = ("jobs/settings.py", "serving/options.py", "serving/gpus.py", "serving/main.py")
    text = "".join((ROOT / source).read_text() for source in sources)
    read = set(re.findall(r'"(TICKFORGE_[A-Z_]+)"', text)) - INTERNAL
    listed = set(re.findall(r"^\| `TICKFORGE_.*?\|", README, re.M))
    named = {name for row in listed for name in re.findall(r"TICKFORGE_[A-Z_]+", row)}

    assert named == read
    environ = dict.fromkeys(named | {"TICKFORGE_NAMED"}, "") | {"TICKFORGE_REDIS_URL": "redis://h"}
    assert Settings.from_env(environ).unknown_variables == {"TICKFORGE_NAMED": None}


def test_the_layout_names_every_folder_of_the_repository_and_no_other() -> None:
    tree = README.split("## Layout")[1].split("```")[1]
    named = set(re.findall(r"^([a-z]+)/", tree, re.M))
    folders = {path.name for path in ROOT.iterdir() if any(path.glob("*")) and path.is_dir()}

    assert named == {name for name in folders if re.fullmatch("[a-z]+", name)} - {"data", "build"}
    assert (ROOT / re.findall(r"^(\S+\.py)", tree, re.M)[0]).is_file()


def test_every_named_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))

    assert set(re.findall(r"`make ([a-z-]+)", README)) <= targets


def test_the_whole_spec_that_is_shown_is_one() -> None:
    text = re.search(r"```json\n(.*?)```", README, re.S)
    assert text is not None

    assert read_spec(json.loads(text[1]), max_parameters=10**6).ticks_total == 3000
