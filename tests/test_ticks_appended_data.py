"""Training on an appended dataset: to the last bit as on the file that all its parts are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.datasets.formats.data_errors import BadData
from jobs.datasets.profiling import make_profiler
from jobs.errors import NoSuchDataset
from jobs.spec.profiles import DatasetProfile, ParseOptions
from jobs.store.connection import Store
from tests.dataset_home import Home
from tests.datasets import CSV, JSONL, TEXT, csv_of, jsonl_of, profile_bytes
from ticks.data.dataset_files import DamagedDataset

LANGUAGE = {"family": "transformer_lm", "width": 8, "heads": 2, "layers": 1}
WORDS = "pack my box with five dozen liquor jugs, é è ê. "


@pytest.fixture
def home(store: Store, tmp_path: Path) -> Home:
    return Home(store, tmp_path / "artifacts")


def append(home: Home, parent_id: str, data: bytes) -> str:
    """Append bytes to a dataset; return the new one's id."""
    parent = home.datasets.find("a", parent_id)
    with home.datasets.start_append("a", parent, quota=None, renew_hold=lambda: None) as started:
        started.write(data)
        return home.datasets.add("a", started.finish(), name="").dataset.id


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows with gaps, a category, groups and a class."""
    rng = np.random.default_rng(seed)
    return [
        {
            "x": float(rng.standard_normal()) if rng.random() > 0.1 else "",
            "colour": ["red", "green", "blue"][rng.integers(3)],
            "group": f"g{rng.integers(9)}",
            "label": "late" if rng.random() > 0.5 else "soon",
        }
        for _ in range(count)
    ]


FEATURES = {"features": ["x", "colour"], "missing": "mean"}
#: kind, parts, target, and what else a spec says
TRAININGS: dict[str, tuple[str, list[bytes], str | None, dict[str, Any]]] = {
    "a stratified table": (
        CSV, [csv_of(rows(30, 1)), csv_of(rows(20, 2)), csv_of(rows(9, 3))], "label",
        {"data": FEATURES, "validation": {"fraction": 0.2}, "test": {"fraction": 0.1}},
    ),
    "groups": (
        JSONL, [jsonl_of(rows(30, 1)), jsonl_of(rows(20, 2))], "label",
        {"data": FEATURES, "validation": {"fraction": 0.2, "split": "group", "group": "group"}},
    ),
    "dropped rows": (CSV, [csv_of(rows(30, 1)), csv_of(rows(20, 2))], "label",
                     {"data": {**FEATURES, "missing": "drop"}}),
    "bytes": (TEXT, [WORDS.encode() * 9] * 3, None,
              {"model": LANGUAGE, "data": {"window": 16}, "validation": {"fraction": 0.2}}),
    "characters": (TEXT, [WORDS.encode() * 99, "ü".encode()], None,
                   {"model": {**LANGUAGE, "vocabulary": "characters"}, "data": {"window": 16}}),
}  # fmt: skip


@pytest.mark.parametrize("case", TRAININGS)
def test_a_training_on_appended_parts_has_the_bits_of_one_on_the_whole(
    home: Home, case: str
) -> None:
    kind, (first, *others), target, changes = TRAININGS[case]
    ids = [home.add(first, kind)]
    for data in others:
        ids.append(append(home, ids[-1], data))
    appended = home.datasets.find("a", ids[-1])
    with home.datasets.open("a", appended) as stream:
        whole = stream.read(1 << 20) + b"".join(iter(lambda: stream.read(1 << 20), b""))
    home.datasets.delete("a", ids[0])
    changes = {"batch_size": 4, "budget": {"ticks": 9}, **changes}
    recorded = home.train_and_record(home.spec(ids[-1], target, **changes))

    for dataset_id in ids[1:]:
        home.datasets.delete("a", dataset_id)
    assert home.add(whole, kind) == ids[-1] and len(appended.parts) == len(ids)
    assert home.train_and_record(home.spec(ids[-1], target, **changes)) == recorded


def test_a_damaged_part_fails_the_training_on_it(home: Home) -> None:
    parent = home.add(csv_of(rows(30, 1)))
    child = append(home, parent, csv_of(rows(20, 2)))
    spec = home.spec(child, "label", data=FEATURES)
    part = home.folder / home.datasets.find("a", child).parts[0].path
    part.chmod(0o600)
    part.write_bytes(part.read_bytes().replace(b"red", b"rad", 1))

    with pytest.raises(DamagedDataset):
        home.training(spec)


def test_a_parent_deleted_while_rows_come_in_refuses_them(home: Home) -> None:
    parent = home.datasets.find("a", home.add(csv_of(rows(30, 1))))
    with home.datasets.start_append("a", parent, quota=None, renew_hold=lambda: None) as started:
        started.write(csv_of(rows(20, 2)))
        home.datasets.delete("a", parent.dataset.id)
        with pytest.raises(NoSuchDataset):
            home.datasets.add("a", started.finish(), name="")
    assert [path for path in (home.folder / "blobs").rglob("*") if path.is_file()] == []


POOLS = [
    ["1", "2.5", "-3", "1e3", "01"], ["2020-01-02", "2021-03-04 05:06"], ["x", "y", "long text"],
    ["1", "x"], ["1", "2020-01-02"], ["", "NA"], [""], ["1", ""], ["2020-01-02", "?"],
    ["x", "", "7"],
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_rows_fit_exactly_where_no_type_would_change(home: Home, seed: int) -> None:
    """And then the profile is that of the whole, means up to their rounding."""
    rng = np.random.default_rng(seed)
    columns = int(rng.integers(1, 4))

    def lines(pools: Any, count: int) -> bytes:
        cells = [[str(rng.choice(pool)) for pool in pools] + ["0"] for _ in range(count)]
        return b"".join(",".join(row).encode() + b"\n" for row in cells)

    pools = [POOLS[at] for at in rng.integers(len(POOLS), size=columns)]
    later = [POOLS[rng.integers(len(POOLS))] if rng.random() < 0.3 else pool for pool in pools]
    header = ",".join([*"abc"[:columns], "n"]).encode() + b"\n"
    first, added = header + lines(pools, 9), lines(later, 7)
    before, whole = profile_bytes(first), profile_bytes(first + added)
    types = list(zip(before.columns or [], whole.columns or [], strict=True))
    fits = all(old.type in ("empty", new.type) for old, new in types)
    parent_id = home.add(first)
    try:
        merged = home.datasets.find("a", append(home, parent_id, header + added)).profile
    except BadData as error:
        assert not fits and {entry.column for entry in error.errors} <= {
            old.name for old, new in types if old.type not in ("empty", new.type)
        }
    else:
        assert fits and comparable(merged) == comparable(whole)


def comparable(profile: DatasetProfile) -> dict[str, Any]:
    """Return a profile without what a float's rounding may change."""
    columns = [
        column.model_copy(
            update={
                name: None if value is None else float(f"{value:.9e}")
                for name, value in (("mean", column.mean), ("deviation", column.deviation))
            }
        )
        for column in profile.columns or []
    ]
    return profile.model_copy(update={"columns": columns}).model_dump()


def test_a_table_of_an_earlier_build_is_profiled_once_more(home: Home) -> None:
    """Its record has no state of its scan."""
    first, added = csv_of(rows(30, 1)), csv_of(rows(20, 2))
    parent = home.datasets.find("a", home.add(first))
    old = parent._replace(profile=parent.profile.model_copy(update={"scan": None}))
    with home.datasets.start_append("a", old, quota=None, renew_hold=lambda: None) as started:
        started.write(added)
        profile = started.finish().profile
    profiler = make_profiler("text/csv", ParseOptions())
    profiler.feed(first + added.split(b"\n", 1)[1])
    assert comparable(profile) == comparable(profiler.finish(Path()))
