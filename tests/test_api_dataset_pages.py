"""Lists of datasets and of their rows: pages are bounded by bytes, and leave no item out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jobs.store.page_budget import MAX_PAGE_BYTES
from tests.datasets import CSV, NPZ, npz_of, upload_new

NAMES = [f"{at:04d}" + "x" * 90 for at in range(2000)]


def read_pages(client: Any, path: str, limit: int) -> Iterator[tuple[int, list[Any]]]:
    """Yield bytes and items of each page of a list, to its end."""
    after = ""
    while after is not None:
        page = client.get(f"{path}?limit={limit}{after and '&after='}{after}")
        yield len(page.data), page.json["data"]
        after = page.json["next_after"]
        assert page.json["has_more"] == (after is not None)


def test_a_list_of_wide_datasets_is_read_in_pages_of_bounded_bytes(client: Any, store: Any) -> None:
    datasets = [
        upload_new(client, f"{','.join(NAMES)}\n{','.join([str(at)] * 2000)}\n".encode())
        for at in range(8)
    ]
    one_bytes = len(client.get(datasets[0]["links"]["self"]).data)
    small = [upload_new(client, b"a\n%d\n" % at) for at in range(5)]
    store.config_resetstat()

    pages = list(read_pages(client, "/v1/datasets", limit=20))

    assert [dataset for _, data in pages for dataset in data] == [*datasets, *small][::-1]
    assert len(pages) > 2
    assert all(MAX_PAGE_BYTES < size < MAX_PAGE_BYTES + 2 * one_bytes for size, _ in pages[:-1])
    assert store.info("commandstats")["cmdstat_hgetall"]["calls"] <= 13 + 2 * len(pages)


def test_a_deleted_dataset_leaves_no_gap_between_pages(client: Any) -> None:
    datasets = [upload_new(client, b"a\n%d\n" % at) for at in range(5)]
    assert client.delete(datasets[2]["links"]["self"]).status_code == 204

    pages = [data for _, data in read_pages(client, "/v1/datasets", limit=2)]

    assert [[item["id"] for item in data] for data in pages] == [
        [datasets[4]["id"], datasets[3]["id"]], [datasets[1]["id"], datasets[0]["id"]],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [CSV, NPZ])
def test_wide_rows_are_shown_in_pages_of_bounded_bytes(client: Any, kind: str) -> None:
    numbers = np.arange(120_000.0).reshape(60, 2000)
    if kind == CSV:
        lines = [NAMES, *numbers.astype(int).astype(str).tolist()]
        dataset = upload_new(client, "\n".join(map(",".join, lines)).encode())
        expected = [dict(zip(NAMES, row, strict=True)) for row in numbers.tolist()]
    else:
        dataset = upload_new(client, npz_of(inputs=numbers * 1e-30, targets=np.arange(60)), NPZ)
        expected = [
            {"inputs": row, "targets": at} for at, row in enumerate((numbers * 1e-30).tolist())
        ]

    pages = list(read_pages(client, dataset["links"]["rows"], limit=1000))

    assert [row for _, data in pages for row in data] == expected
    assert len(pages) > 1
    assert all(size < 1.25 * MAX_PAGE_BYTES for size, _ in pages)
