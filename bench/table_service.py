"""A net that the service trains on a table: uploaded, trained, downloaded, asked, over HTTP."""

import csv
import io
import tempfile
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from bench.service import BenchService
from bench.table_data import Record, Table
from bench.table_models import VALIDATION_FRACTION

FILES = ("model.py", "model.safetensors")


def predict_by_service(
    service: BenchService, table: Table, training: Sequence[Record], test: Sequence[Record],
    epochs: int, seed: int, *, as_scikit_learn: bool = False,
) -> list[Any]:  # fmt: skip
    """Return what the best checkpoint's model.py predicts, of a net trained by the defaults.

    `as_scikit_learn` takes scikit-learn's net and its habit: no norm, validated after each epoch.
    """
    data = {"source": "dataset", "id": _upload(service, training), "target": table.target}
    spec = {
        "model": {"family": "mlp", **({"norm": "none"} if as_scikit_learn else {})},
        "data": data | ({"missing": "mean"} if table.has_gaps else {}),
        "validation": {"fraction": VALIDATION_FRACTION},
        "budget": {"epochs": epochs}, "seed": seed,
    }  # fmt: skip
    if as_scikit_learn:
        plan = service.http.post("/v1/jobs/plan", json=spec).raise_for_status().json()
        spec["validation"]["every_ticks"] = plan["ticks_per_epoch"]
    _, job = service.run(spec)
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            path = f"/v1/jobs/{job['id']}/checkpoints/best/files/{name}"
            content = service.http.get(path).raise_for_status().content
            (Path(folder) / name).write_bytes(content)
        predictions = _import_file(Path(folder) / "model.py").predict(test)
    return [prediction["class" if table.is_class else "value"] for prediction in predictions]


def _upload(service: BenchService, records: Sequence[Record]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    response = service.http.post(
        "/v1/datasets", content=text.getvalue().encode(), headers={"Content-Type": "text/csv"}
    )
    assert response.is_success, response.text
    return str(response.json()["id"])


def _import_file(path: Path) -> Any:
    location = spec_from_file_location("trained_model", path)
    assert location is not None and location.loader is not None
    module = module_from_spec(location)
    location.loader.exec_module(module)
    return module
