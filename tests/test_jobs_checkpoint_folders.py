"""Checkpoint folders: durable, whole or refused, served by their manifest, kept by the rules."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.files import checkpoint_folders
from jobs.files.artifacts import ArtifactStore, UnsafePath
from jobs.files.checkpoint_folders import DamagedCheckpoint, NoSuchFile
from jobs.job import Checkpoint, Lease

JOB = ("default", "job_abc")
LEASE = Lease(*JOB, term=3, nonce="n")
SAVED = {
    "model.safetensors": b"weights" * 1000,
    "state.safetensors": b"moments",
    "state.json": b"{}",
    "config.json": b"{}",
}


@pytest.fixture
def files(tmp_path: Path) -> ArtifactStore:
    root = tmp_path / "artifacts"
    root.mkdir()
    return ArtifactStore(root)


def home(files: ArtifactStore) -> Path:
    return files.job_folder(*JOB) / "checkpoints"


def begun(files: ArtifactStore, lease: Lease = LEASE, **more: bytes) -> Path:
    folder = checkpoint_folders.new_folder(files, lease)
    for name, data in {**SAVED, **more}.items():
        (folder / name).write_bytes(data)
    return folder


def completed(
    files: ArtifactStore, tick: int = 100, lease: Lease = LEASE, folder: Path | None = None
) -> Checkpoint:
    return checkpoint_folders.publish(
        files,
        lease,
        folder or begun(files, lease),
        tick=tick,
        state="00ff" * 4,
        metrics={"val_loss": 0.5, "val_accuracy": float("nan")},
        is_best=False,
        is_final=False,
    )


def test_a_completed_checkpoint_lists_its_files_and_reads_back(files: ArtifactStore) -> None:
    checkpoint = completed(files)
    assert (checkpoint.folder, checkpoint.term, checkpoint.tick) == ("100-t3", 3, 100)
    assert checkpoint.bytes == sum(map(len, SAVED.values()))
    assert checkpoint.sha256 == files.compute_sha256(home(files) / "100-t3" / "model.safetensors")
    assert checkpoint.metrics == {"val_loss": 0.5, "val_accuracy": None}
    assert os.listdir(home(files)) == ["100-t3"]
    manifest = json.loads((home(files) / "100-t3" / "manifest.json").read_bytes())
    assert manifest["files"] == [entry.model_dump() for entry in checkpoint.files]
    assert manifest["state"] == "00ff" * 4
    assert checkpoint_folders.files_match(files, *JOB, checkpoint)


def test_all_files_are_on_disk_before_the_folder_gets_its_name(
    files: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(files)
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(fd: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).name
        steps.append(name.removeprefix(".").split(".json.")[0])
        fsync(fd)

    def noted_rename(source: Path, target: Path) -> None:
        steps.append(f"-> {Path(target).name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    completed(files, folder=folder)
    manifest = ["manifest", "-> manifest.json", folder.name]
    assert steps == [*sorted(SAVED), *manifest, "-> 100-t3", "checkpoints"]


def test_a_second_save_of_a_tick_leaves_the_first_as_it_is(files: ArtifactStore) -> None:
    first, second = completed(files), completed(files)
    assert first.folder != second.folder
    assert checkpoint_folders.files_match(files, *JOB, first) and checkpoint_folders.files_match(
        files, *JOB, second
    )


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[3000] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def cut_a_file(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 10)


def lose_a_file(folder: Path) -> None:
    (folder / "state.json").unlink()


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def tear_the_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 40)


def lose_all(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def link_a_file(folder: Path) -> None:
    (folder / "state.json").rename(folder.parent / "real")
    (folder / "state.json").symlink_to(folder.parent / "real")


@pytest.mark.parametrize(
    "harm",
    [
        flip_a_bit,
        cut_a_file,
        lose_a_file,
        lose_the_manifest,
        tear_the_manifest,
        lose_all,
        link_a_file,
    ],
)
def test_a_damaged_checkpoint_is_refused(
    files: ArtifactStore, harm: Callable[[Path], None]
) -> None:
    checkpoint = completed(files)
    harm(home(files) / checkpoint.folder)
    assert not checkpoint_folders.files_match(files, *JOB, checkpoint)


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json", "a b.json", ".hidden.json"])
def test_a_save_with_a_file_that_should_not_be_there_is_refused_and_removed(
    files: ArtifactStore, name: str
) -> None:
    with pytest.raises(DamagedCheckpoint):
        completed(files, folder=begun(files, **{name: b"x"}))
    assert os.listdir(home(files)) == []


def test_a_save_without_weights_or_with_a_link_is_refused_and_removed(
    files: ArtifactStore, tmp_path: Path
) -> None:
    bare = checkpoint_folders.new_folder(files, LEASE)
    with pytest.raises(DamagedCheckpoint):
        completed(files, folder=bare)
    (tmp_path / "secret.json").write_text("secret")
    linked = begun(files)
    (linked / "more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(UnsafePath):
        completed(files, folder=linked)
    assert os.listdir(home(files)) == []


@pytest.mark.parametrize("step", range(len(SAVED) + 3))
def test_a_full_disk_at_any_step_leaves_the_earlier_checkpoints_alone(
    files: ArtifactStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    earlier, folder = completed(files, 50), begun(files)
    fsync, calls = os.fsync, iter(range(100))

    def full(fd: int) -> None:
        if next(calls) == step:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            completed(files, folder=folder)
    assert os.listdir(home(files)) == ["50-t3"]
    assert checkpoint_folders.files_match(files, *JOB, earlier)


def test_bytes_that_read_back_differently_are_no_checkpoint(
    files: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = begun(files), os.rename

    def rots(source: Path, target: Path) -> None:
        rename(source, target)
        if Path(target).name == "100-t3":
            flip_a_bit(Path(target))

    monkeypatch.setattr(os, "rename", rots)
    with pytest.raises(DamagedCheckpoint):
        completed(files, folder=folder)
    assert os.listdir(home(files)) == []


def test_only_listed_files_are_opened(files: ArtifactStore) -> None:
    checkpoint = completed(files)
    opened, entry = checkpoint_folders.open_file(files, *JOB, checkpoint, "model.safetensors")
    with opened:
        assert opened.read() == SAVED["model.safetensors"]
    assert entry.sha256 == checkpoint.sha256
    (home(files) / checkpoint.folder / "late.json").write_text("not listed")
    for name in (
        "late.json", "manifest.json", "../100-t3/state.json", "..", "", "/etc/passwd",
        "state.json\0", "state.json/", "STATE.JSON", "%2e%2e/state.json",
    ):  # fmt: skip
        with pytest.raises(NoSuchFile):
            checkpoint_folders.open_file(files, *JOB, checkpoint, name)


def test_a_listed_file_that_is_short_or_gone_is_not_served(files: ArtifactStore) -> None:
    checkpoint = completed(files)
    cut_a_file(home(files) / checkpoint.folder)
    lose_a_file(home(files) / checkpoint.folder)
    for name in ("model.safetensors", "state.json"):
        with pytest.raises(DamagedCheckpoint):
            checkpoint_folders.open_file(files, *JOB, checkpoint, name)


@pytest.mark.parametrize("folder", ["../100-t3", "", "100-t3/..", "tmp-t3-00", "/", "100-t3\n"])
def test_a_record_that_names_an_odd_folder_is_refused(files: ArtifactStore, folder: str) -> None:
    odd = completed(files).model_copy(update={"folder": folder})
    assert not checkpoint_folders.files_match(files, *JOB, odd)
    with pytest.raises(UnsafePath):
        checkpoint_folders.remove_folder(files, *JOB, odd)


def test_a_removed_checkpoint_is_gone_and_removing_it_again_is_fine(files: ArtifactStore) -> None:
    gone, stays = completed(files, 10), completed(files, 20)
    checkpoint_folders.remove_folder(files, *JOB, gone)
    checkpoint_folders.remove_folder(files, *JOB, gone)
    assert os.listdir(home(files)) == [stays.folder]


def test_a_sweep_removes_leftovers_of_its_own_and_earlier_terms_only(files: ArtifactStore) -> None:
    later = Lease(*JOB, term=4, nonce="m")
    retained, lost = completed(files, 10), completed(files, 20)
    begun(files)
    theirs, at_work = completed(files, 30, later), begun(files, later)
    (home(files) / ".5-t1.0123456789abcdef.gone").mkdir()
    checkpoint_folders.remove_orphans(files, *JOB, {retained.folder}, term=3)
    assert sorted(os.listdir(home(files))) == sorted([retained.folder, theirs.folder, at_work.name])
    checkpoint_folders.remove_orphans(files, *JOB, {retained.folder})
    assert os.listdir(home(files)) == [retained.folder]
    assert not checkpoint_folders.files_match(files, *JOB, lost)
    checkpoint_folders.remove_orphans(files, "default", "job_without_any", set())


def at(
    tick: int, *, best: bool = False, final: bool = False, pinned: bool = False, alone: bool = False
) -> Checkpoint:
    return Checkpoint(
        periodic=not alone,
        tick=tick, pinned=pinned, created_at="", bytes=1, metrics={}, sha256="", files=[],
        is_best=best, is_final=final, folder=f"{tick}-t1", state="", term=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "had, new, dropped",
    [
        ([], at(10), []),
        ([at(10), at(20)], at(30), [10]),
        ([at(0), at(10), at(20)], at(30), [10]),
        ([at(5, best=True), at(10), at(20)], at(30), [10]),
        ([at(5, best=True), at(10), at(20)], at(30, best=True), [5]),
        ([at(5, pinned=True), at(10), at(20)], at(30, final=True), []),
        ([at(20), at(30)], at(10, best=True), []),
        ([at(20), at(30), at(40, best=True)], at(10, best=True), []),
        ([at(10), at(20)], at(20, final=True), []),
        ([at(5, best=True, alone=True), at(10), at(20)], at(30, best=True, alone=True), [5]),
        ([at(5, best=True, alone=True), at(10), at(20)], at(30), [10]),
    ],
    ids=range(11),
)
def test_two_periodic_checkpoints_stay_beside_initial_best_final_and_pinned(
    had: list[Checkpoint], new: Checkpoint, dropped: list[int]
) -> None:
    assert checkpoint_folders.expired_ticks(had, new, keep_count=2) == dropped


def code_files(files: ArtifactStore) -> set[int]:
    """Inodes of all code of the job, in its checkpoints and beside them."""
    return {path.stat().st_ino for path in files.job_folder(*JOB).rglob("*.py")}


def test_the_code_of_a_jobs_checkpoints_is_one_file_on_disk(files: ArtifactStore) -> None:
    code = {"model.py": b"import torch\n" * 100}
    size = len(code["model.py"])
    saved = [completed(files, tick, folder=begun(files, **code)) for tick in (1, 2, 3)]
    assert len(code_files(files)) == 1
    assert [(entry.shared_bytes, entry.bytes - entry.own_bytes) for entry in saved] == [
        (size, size)
    ] * 3
    checkpoint_folders.remove_folder(files, *JOB, saved[0])
    for checkpoint in saved[1:]:
        assert checkpoint_folders.files_match(files, *JOB, checkpoint)
    other = completed(files, 4, folder=begun(files, **{"model.py": b"pass\n"}))
    assert len(code_files(files)) == 2 and other.shared_bytes == 5
    assert completed(files, 5).shared_bytes == 0


def test_damaged_code_is_not_shared_with_a_new_checkpoint(files: ArtifactStore) -> None:
    code = {"model.py": b"import torch\n"}
    first = completed(files, 1, folder=begun(files, **code))
    (home(files) / "1-t3" / "model.py").write_bytes(b"import bench\n")
    second, third = (completed(files, tick, folder=begun(files, **code)) for tick in (2, 3))
    assert not checkpoint_folders.files_match(files, *JOB, first)
    for checkpoint in (second, third):
        assert checkpoint_folders.files_match(files, *JOB, checkpoint)
        assert checkpoint.shared_bytes == len(code["model.py"])
    assert len(code_files(files)) == 2


def test_without_links_every_checkpoint_has_code_of_its_own(
    files: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = {"model.py": b"import torch\n"}

    def refuse(*_paths: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    completed(files, 1, folder=begun(files, **code))
    monkeypatch.setattr(os, "link", refuse)
    checkpoint = completed(files, 2, folder=begun(files, **code))
    assert checkpoint.own_bytes == checkpoint.bytes and len(code_files(files)) == 2
    assert checkpoint_folders.files_match(files, *JOB, checkpoint)
    assert not list(files.job_folder(*JOB).rglob(".*"))
