"""GET /v1/jobs/{id}/rows: the rows that a trainer trains, validates and tests on, tick by tick."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jobs.queries.jobs import JobQueries
from jobs.settings import Settings
from jobs.spec.job_spec import JobSpec
from tests.datasets import CSV, TEXT, npz_of, upload_new
from tests.support import small_spec
from tests.training_records import CPU
from ticks.data.load import JobData, load_data
from ticks.trainer import Trainer

Submit = Callable[..., str]
PARTS = {"training": "training", "validation": "held_out", "test": "test"}
ROWS = 90
CLASSES = [row % 3 if row % 10 else 3 for row in range(ROWS)]
SPLITS: dict[str, dict[str, Any]] = {
    "random": {"split": "random"},
    "last": {"split": "last"},
    "stratified": {},
    "group": {"group": "patient"},
}


def table() -> bytes:
    """A table whose first column is the number of the row; every seventh row has a gap."""
    lines = ["row,patient,size,label"]
    for row in range(ROWS):
        size = "" if row % 7 == 3 else str(row % 5)
        lines.append(f"{row},p{row * row % 11},{size},c{CLASSES[row]}")
    return "\n".join(lines).encode()


def listed(client: Any, job_id: str, limit: int = 1000, **query: Any) -> list[int]:
    """All rows, page by page."""
    rows: list[int] = []
    after: str | None = "0"
    while after is not None:
        body = client.get(
            f"/v1/jobs/{job_id}/rows", query_string={**query, "after": after, "limit": limit}
        ).json
        rows += body["data"]
        after = body["next_after"]
        assert body["has_more"] == (after is not None) and body["total"] >= len(rows)
    assert body["total"] == len(rows)
    return rows


def first_inputs(part: Any) -> list[int]:
    """The first input of each row, which is its number, counted from 1."""
    return [] if part is None else [int(value) + 1 for value in part.inputs[:, 0].tolist()]


def compare(client: Any, job_id: str, spec: JobSpec, data: JobData) -> None:
    """Check the rows of all parts, and those of the ticks of two epochs."""
    for name, part in PARTS.items():
        assert listed(client, job_id, split=name) == first_inputs(getattr(data, part)), name
    trainer = Trainer(spec, data.training, CPU)
    for tick in (1, 2, spec.ticks_per_epoch, spec.ticks_per_epoch + 1, 2 * spec.ticks_per_epoch):
        assert listed(client, job_id, tick=tick) == first_inputs(trainer.batches.batch(tick)), tick


@pytest.mark.parametrize("missing", ["drop", "mean"])
@pytest.mark.parametrize("split", SPLITS)
def test_the_rows_of_a_table_are_those_of_its_trainer(
    client: Any, submit: Submit, index: JobQueries, settings: Settings, split: str, missing: str
) -> None:
    data = {
        "source": "dataset", "id": upload_new(client, table(), CSV)["id"], "target": "label",
        "missing": missing, "standardize": False, "drop_last": split == "last",
    }  # fmt: skip
    part = {"fraction": 0.2, **SPLITS[split]}
    job_id = submit(data=data, validation=part, test={"fraction": 0.25}, batch_size=7)
    job = index.get_job("default", job_id)
    loaded = load_data(job.spec, CPU, settings.artifacts)
    compare(client, job_id, job.spec, loaded)
    assert len(first_inputs(loaded.training)) == job.spec.training_rows
    if split == "group":
        patients = [{row * row % 11 for row in map(int, numbers)} for numbers in (
            [row - 1 for row in first_inputs(part)] for part in loaded[:3]
        )]  # fmt: skip
        assert not patients[0] & patients[1] and not (patients[0] | patients[1]) & patients[2]
        assert job.spec.data.exclude == ["patient"]  # type: ignore[union-attr]


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_rows_of_a_body_and_of_arrays_are_those_of_their_trainer(
    client: Any, submit: Submit, index: JobQueries, settings: Settings, shuffle: bool
) -> None:
    inputs = [[row, row % 5] for row in range(ROWS)]
    arrays = npz_of(inputs=np.array(inputs, np.float32), targets=np.array(CLASSES))
    dataset = upload_new(client, arrays, "application/x-npz")["id"]
    sources: list[dict[str, Any]] = [
        {"source": "inline", "inputs": inputs, "targets": CLASSES},
        {"source": "dataset", "id": dataset, "standardize": False},
    ]
    splits = []
    for source in sources:
        job_id = submit(
            data={**source, "shuffle": shuffle}, objective="cross_entropy",
            validation={"fraction": 0.29}, seed=5,
        )  # fmt: skip
        job = index.get_job("default", job_id)
        compare(client, job_id, job.spec, load_data(job.spec, CPU, settings.artifacts))
        splits.append(listed(client, job_id, split="validation"))
    assert splits[0] == splits[1] and len(splits[0]) == 26


def test_windows_of_a_text_are_listed_by_their_numbers(
    client: Any, submit: Submit, index: JobQueries, settings: Settings
) -> None:
    text = bytes(32 + row // 4 % 90 for row in range(1600))  # a window of 4 bytes is its number
    other = upload_new(client, text[:41], TEXT)["id"]
    data = {"source": "dataset", "id": upload_new(client, text, TEXT)["id"], "window": 4}
    model = {"family": "transformer_lm", "layers": 1, "heads": 1, "width": 8}
    job_id = submit(
        data=data, model=model, budget={"ticks": 100},
        validation={"fraction": 0.2}, test={"id": other},
    )  # fmt: skip
    job = index.get_job("default", job_id)
    loaded = load_data(job.spec, CPU, settings.artifacts)
    training = listed(client, job_id)
    assert loaded.held_out is not None
    assert sorted(training + listed(client, job_id, split="validation")) == list(range(1, 400))
    assert listed(client, job_id, split="test") == list(range(1, 11))
    for rows, numbers in ((loaded.training, training[:90]), (loaded.held_out, [])):
        seen = [row[0] for block in rows.blocks() for row in block.inputs.tolist()]
        assert seen[: len(numbers)] == [32 + (number - 1) % 90 for number in numbers]
    trainer = Trainer(job.spec, loaded.training, CPU)
    for tick in (1, 41):
        batch = trainer.batches.batch(tick).inputs[:, 0].tolist()
        assert [32 + (row - 1) % 90 for row in listed(client, job_id, tick=tick)] == batch


def test_pages_hold_every_row_once_and_parameters_are_checked(client: Any, submit: Submit) -> None:
    job_id = submit(validation={"fraction": 0.25})
    assert listed(client, job_id, limit=5) == listed(client, job_id, split="training")
    assert len(listed(client, job_id, limit=3, tick=2)) == 8
    assert listed(client, job_id, split="test") == []
    path = f"/v1/jobs/{job_id}/rows"
    for query in ("tick=21", "tick=0", "tick=1&split=training", "split=all", "limit=1001"):
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == 400 and answer.json["errors"][0]["parameter"], query
    assert client.get("/v1/jobs/job_" + "a" * 26 + "/rows").status_code == 404


def test_rows_that_hang_on_a_deleted_file_are_refused_and_others_listed(
    client: Any, submit: Submit
) -> None:
    dataset = upload_new(client, table(), CSV)["id"]
    data = {"source": "dataset", "id": dataset, "target": "label", "exclude": ["size"]}
    by_split = {
        split: submit(data=data, validation={"fraction": 0.2, "split": split})
        for split in ("random", "stratified")
    }
    for job_id in by_split.values():
        client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete(f"/v1/datasets/{dataset}").status_code == 204
    answer = client.get(f"/v1/jobs/{by_split['stratified']}/rows")
    assert (answer.status_code, answer.json["type"].split(":")[-1]) == (409, "data-gone")
    assert len(listed(client, by_split["random"])) == 72


def test_a_plan_tells_groups_that_take_far_more_rows_than_the_fraction(client: Any) -> None:
    rows = (f"{'b' if row % 9 else 'a'},{row},c{row % 2}" for row in range(90))
    lines = ["doctor,size,label", *rows]
    data = {
        "source": "dataset", "id": upload_new(client, "\n".join(lines).encode(), CSV)["id"],
        "target": "label",
    }  # fmt: skip
    seeds = {}
    for seed in range(8):
        body = {
            **small_spec(data=data, seed=seed, batch_size=4),
            "validation": {"fraction": 0.05, "group": "doctor"},
        }
        plan = client.post("/v1/jobs/plan", json=body).json
        group_warnings = [
            text for text in plan["warnings"] if text.startswith("validation.group 'doctor'")
        ]
        seeds[plan["ticks_per_epoch"]] = bool(group_warnings)
    assert seeds == {80 // 4: True, -(-10 // 4): True}


def test_a_plan_tells_that_the_rows_to_validate_on_are_those_to_train_on(client: Any) -> None:
    first, second = (
        upload_new(client, table() + line, CSV)["id"] for line in (b"", b"\n90,p1,1,c1")
    )
    data = {"source": "dataset", "id": first, "target": "label", "exclude": ["size"]}

    def warned_fields(other: str) -> list[str]:
        parts = {"validation": {"id": other}, "test": {"id": other}}
        plan = client.post("/v1/jobs/plan", json=small_spec(data=data, **parts)).json
        words = [text.split()[0] for text in plan["warnings"]]
        return [word for word in words if word.endswith(".id")]

    assert warned_fields(second) == []
    assert warned_fields(first) == ["validation.id", "test.id"]


def test_a_plan_tells_that_another_dataset_is_read_by_other_options(client: Any) -> None:
    first = upload_new(client, table(), CSV)["id"]
    second = upload_new(client, table() + b"\n", CSV, missing="-999")["id"]
    data = {"source": "dataset", "id": first, "target": "label", "exclude": ["size"]}

    spec = small_spec(data=data, validation={"id": second})
    warnings = client.post("/v1/jobs/plan", json=spec).json["warnings"]
    assert ["(missing)" in text for text in warnings if "validation.id" in text] == [True]
