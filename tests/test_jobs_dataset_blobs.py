"""Files under datasets: shared, never lost to a race, never left behind."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from jobs.datasets.blobs import Blobs
from jobs.datasets.repository import DatasetRepository
from jobs.errors import StoreFull
from jobs.files.artifacts import ArtifactStore
from jobs.spec.profiles import ParseOptions
from jobs.store import keys
from jobs.store.connection import Store, connect
from tests.datasets import PETS, files_of


@pytest.fixture
def datasets(store: Store, tmp_path: Path) -> DatasetRepository:
    return DatasetRepository(store, ArtifactStore(tmp_path), max_bytes=1 << 20)


def add(datasets: DatasetRepository, tenant: str = "a", data: bytes = PETS) -> str:
    with datasets.start_upload("text/csv", ParseOptions()) as upload:
        upload.write(data)
        return datasets.add(tenant, upload.finish(), name="").dataset.id


def content(datasets: DatasetRepository, tenant: str, dataset_id: str) -> bytes:
    with datasets.open(tenant, datasets.find(tenant, dataset_id)) as file:
        return file.read()


def test_equal_bytes_lie_once_and_go_with_the_last_dataset(
    datasets: DatasetRepository, tmp_path: Path
) -> None:
    mine, theirs = add(datasets, "a"), add(datasets, "b")
    assert len(files_of(tmp_path)) == 1

    datasets.delete("a", mine)
    assert content(datasets, "b", theirs) == PETS
    datasets.delete("b", theirs)
    assert files_of(tmp_path) == []


def test_a_removal_never_takes_the_file_of_a_newer_upload(
    datasets: DatasetRepository, store: Store, tmp_path: Path
) -> None:
    old = add(datasets)
    # the last reference is gone, but whoever deleted it has not yet removed the file
    datasets._scripts.call("delete_dataset", {"tenant": "a", "id": old})
    new = add(datasets)
    datasets.blobs.sweep()

    assert content(datasets, "a", new) == PETS
    assert len(files_of(tmp_path)) == 1
    assert store.zcard(keys.PENDING_BLOB_DELETIONS) == 0


def test_uploads_and_deletions_at_once_leave_each_dataset_its_bytes(
    store_server: str, datasets: DatasetRepository, tmp_path: Path
) -> None:
    failed: list[BaseException] = []

    def work(tenant: str) -> None:
        client = connect(store_server)
        ours = DatasetRepository(client, ArtifactStore(tmp_path), max_bytes=1 << 20)
        try:
            for _ in range(25):
                dataset_id = add(ours, tenant)
                assert content(ours, tenant, dataset_id) == PETS
                ours.delete(tenant, dataset_id)
        except BaseException as error:
            failed.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    datasets.blobs.sweep()
    assert files_of(tmp_path) == []


def test_an_upload_that_is_given_up_leaves_nothing(
    datasets: DatasetRepository, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError), datasets.start_upload("text/csv", ParseOptions()) as upload:
        upload.write(PETS)
        assert len(files_of(tmp_path)) == 1
        raise RuntimeError

    assert files_of(tmp_path) == []


def test_a_dead_writers_files_are_swept_and_a_slow_writers_are_not(
    datasets: DatasetRepository, tmp_path: Path
) -> None:
    left = tmp_path / "blobs" / "incoming" / "left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    with datasets.start_upload("text/csv", ParseOptions()) as upload:
        upload.write(PETS)
        slow = upload._path
        os.utime(slow, (0, 0))
        datasets.blobs.sweep()

        assert not left.exists() and slow.exists()


def test_a_placed_file_that_no_dataset_took_is_swept_in_time(
    datasets: DatasetRepository, store: Store, tmp_path: Path
) -> None:
    blobs: Blobs = datasets.blobs
    path, file = blobs.new_upload_file()
    file.close()
    name = blobs.store(path, "0" * 64)
    blobs.sweep()
    assert files_of(tmp_path) == [name]

    store.zadd(keys.PENDING_BLOB_DELETIONS, {name: 1})  # an hour later
    blobs.sweep()
    assert files_of(tmp_path) == [] and store.zcard(keys.PENDING_BLOB_DELETIONS) == 0


def test_a_full_disk_is_reported_as_such_and_leaves_nothing(
    datasets: DatasetRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreFull), datasets.start_upload("text/csv", ParseOptions()) as upload:
        upload.write(PETS)
        monkeypatch.setattr(os, "fsync", full)
        upload.finish()
    monkeypatch.undo()

    assert files_of(tmp_path) == []


def test_ids_hang_on_the_tenants_secret(datasets: DatasetRepository, store: Store) -> None:
    dataset_id = add(datasets, "a")
    secret: Any = store.hget(keys.DATASET_ID_SECRETS, "a")
    datasets.delete("a", dataset_id)

    assert add(datasets, "a") == dataset_id and store.hget(keys.DATASET_ID_SECRETS, "a") == secret
    assert add(datasets, "b") != dataset_id
