"""Digests of files: hashed once for each version of a file, and again when it has changed."""

import hashlib
import os
from pathlib import Path

import pytest

from jobs.files import file_digests
from jobs.files.file_digests import SETTLING_NS, FileDigests
from tests.damage import flipped_bit

DATA = b"some bytes of a file" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class CountingDigests(FileDigests):
    """Digests at a moment after the file's last change, and how often a file was read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, age_ns: int) -> None:
        super().__init__(clock=lambda: self.path.stat().st_ctime_ns + age_ns)
        self.path, self.hashed = path, 0
        hash_whole = file_digests.hash_whole

        def count(file: object) -> str:
            self.hashed += 1
            return hash_whole(file)  # type: ignore[arg-type]

        monkeypatch.setattr(file_digests, "hash_whole", count)

    def has(self, sha256: str) -> bool:
        with self.path.open("rb") as file:
            return self.matches(file, sha256)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(DATA)
    return tmp_path / "file"


def test_a_file_is_hashed_once_until_it_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = CountingDigests(path, monkeypatch, SETTLING_NS)
    assert [digests.has(SHA256) for _ in range(3)] == [True] * 3
    assert digests.hashed == 1
    with flipped_bit(path):
        assert [digests.has(SHA256) for _ in range(3)] == [False] * 3
        assert digests.hashed == 2
    assert digests.has(SHA256) and digests.hashed == 3
    os.replace(path, path.with_name("other"))
    path.write_bytes(DATA[:-1])
    assert not digests.has(SHA256) and digests.hashed == 4


def test_a_file_that_changed_just_now_is_hashed_each_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within a tick of the file system's clock would leave the same times."""
    digests = CountingDigests(path, monkeypatch, SETTLING_NS - 1)
    assert [digests.has(SHA256) for _ in range(3)] == [True] * 3
    assert digests.hashed == 3


def test_only_so_many_files_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "MAX_REMEMBERED_FILES", 2)
    digests = CountingDigests(path, monkeypatch, SETTLING_NS)
    for name in ("first", "second", "third"):
        digests.path = path.with_name(name)
        digests.path.write_bytes(DATA)
        assert digests.has(SHA256)
    assert digests.has(SHA256) and digests.hashed == 3
    digests.path = path.with_name("first")
    assert digests.has(SHA256) and digests.hashed == 4
