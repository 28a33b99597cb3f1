"""Artifact files: whole or not at all, durable, and only ever inside the job's folder."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from jobs.files.artifacts import ArtifactStore, UnsafePath

JOB = ("default", "job_abc")


@pytest.fixture
def files(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def test_a_written_file_is_read_back_and_its_digest_is_sha256(files: ArtifactStore) -> None:
    path = files.job_folder(*JOB) / "history" / "loss" / "000000.f32"
    assert (
        files.write(path, b"abc")
        == hashlib.sha256(b"abc").hexdigest()
        == files.compute_sha256(path)
    )
    with files.open(path) as file:
        assert file.read() == b"abc"


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(files: ArtifactStore) -> None:
    path = files.job_folder(*JOB) / "spec.json"
    files.write(path, b"long before")
    files.write(path, memoryview(b"now"))
    assert path.read_bytes() == b"now"
    assert os.listdir(path.parent) == ["spec.json"]


def test_a_full_disk_leaves_the_old_file_and_no_half_one(
    files: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.job_folder(*JOB) / "spec.json"
    files.write(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["spec.json"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is synced and renamed, as it happens."""
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(fd: int) -> None:
        steps.append("sync " + Path(os.readlink(f"/proc/self/fd/{fd}")).name.split(".")[0])
        fsync(fd)

    def noted_rename(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    return steps


def test_a_write_brings_the_file_and_then_its_folder_to_disk(
    files: ArtifactStore, steps: list[str]
) -> None:
    path = files.job_folder(*JOB) / "spec.json"
    path.parent.mkdir(parents=True)
    files.write(path, b"data")
    assert steps == ["sync ", "rename", "sync job_abc"]


def test_files_written_together_are_all_on_disk_before_any_has_its_name(
    files: ArtifactStore, steps: list[str]
) -> None:
    folder = files.job_folder(*JOB)
    folder.mkdir(parents=True)
    contents = {folder / name: name.encode() for name in ("a/1", "a/2", "b/1")}
    digests = files.write_all(contents)
    assert steps == ["sync job_abc", *["sync "] * 3, *["rename"] * 3, "sync a", "sync b"]
    assert {path: path.read_bytes() for path in contents} == contents
    assert digests == [files.compute_sha256(path) for path in contents]


@pytest.mark.parametrize(
    "tenant, job_id",
    [
        ("default", "../other"),
        ("..", "job_a"),
        ("default", ""),
        ("default", "job_a\n"),
        ("default", "job_a/b"),
        ("default", "JOB"),
        ("default", "job\0a"),
        ("default", "j" * 65),
        ("te-nant.", "job_a"),
    ],
)
def test_odd_names_never_become_a_path(files: ArtifactStore, tenant: str, job_id: str) -> None:
    with pytest.raises(UnsafePath):
        files.job_folder(tenant, job_id)


def test_paths_outside_the_root_are_refused_for_reading_and_writing(files: ArtifactStore) -> None:
    for path in (files.root / ".." / "x", files.root.parent / "x", files.root, Path("/etc/passwd")):
        with pytest.raises(UnsafePath):
            files.write(path, b"")
        with pytest.raises(UnsafePath):
            files.open(path)


def test_no_symbolic_link_is_followed_at_any_level(files: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    files.write(files.job_folder(*JOB) / "good", b"")
    (files.job_folder(*JOB) / "link").symlink_to(tmp_path / "secret" / "key")
    (files.job_folder(*JOB) / "folder").symlink_to(tmp_path / "secret")
    for path in ("link", "folder/key"):
        with pytest.raises(UnsafePath):
            files.open(files.job_folder(*JOB) / path)


def test_only_plain_files_are_opened_and_a_pipe_does_not_block(files: ArtifactStore) -> None:
    files.write(files.job_folder(*JOB) / "good", b"")
    os.mkfifo(files.job_folder(*JOB) / "pipe")
    for path in (files.job_folder(*JOB) / "pipe", files.job_folder(*JOB)):
        with pytest.raises(UnsafePath):
            files.open(path)
    with pytest.raises(FileNotFoundError):
        files.open(files.job_folder(*JOB) / "nothing")


def test_a_removed_job_is_gone_and_removing_it_again_is_fine(files: ArtifactStore) -> None:
    files.write(files.job_folder(*JOB) / "history" / "loss" / "000000.f32", b"x")
    files.write(files.job_folder("default", "job_other") / "spec.json", b"x")
    files.remove_job(*JOB)
    files.remove_job(*JOB)
    assert os.listdir(files.root / "default") == ["job_other"]


def test_a_removal_that_was_cut_short_is_finished_by_the_next(
    files: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(files.job_folder(*JOB) / "spec.json", b"x")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            files.remove_job(*JOB)
    assert not files.job_folder(*JOB).exists()
    files.remove_job(*JOB)
    assert os.listdir(files.root / "default") == []


def test_removal_does_not_follow_a_link_out_of_the_job(
    files: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    files.write(files.job_folder(*JOB) / "spec.json", b"x")
    (files.job_folder(*JOB) / "history").symlink_to(tmp_path / "precious")
    files.remove_job(*JOB)
    assert (tmp_path / "precious" / "file").read_text() == "kept"
