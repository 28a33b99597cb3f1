"""`make picture`: trains the example digits and stores its curve for the README: docs/curve.svg.

What it was drawn from is stored beside the tests, which draw it again and compare every byte.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from serving.demo import ROOT, SPEC, isolated_environment, running_service
from tickforge_client import Client

PICTURE = ROOT / "docs" / "curve.svg"
DRAWN_FROM = ROOT / "tests" / "data" / "digits_curve.json"
WIDTH, HEIGHT = 800, 360
POINTS = WIDTH // 2
FIELDS = ("loss", "metrics", "name", "status", "tick", "ticks_total", "best", "error")


def main() -> None:
    """Train, draw, and write both files."""
    with tempfile.TemporaryDirectory(prefix="tickforge-picture-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "serve.log"
        with (
            running_service(data, log, isolated_environment(Path(folder))) as url,
            Client(url, (data / "admin.key").read_text().strip()) as client,
        ):
            job = client.submit(json.loads(SPEC.read_text())).wait()
            picture = job.curve("svg", width=WIDTH, height=HEIGHT)
            view = job.view(["loss", "val_loss"], points=POINTS)
            drawn_from = {
                "job": {name: job.fields[name] for name in FIELDS},
                "size": [WIDTH, HEIGHT],
                "columns": {name: view[name] for name in ("loss", "val_loss")},
            }
    PICTURE.write_bytes(picture)
    DRAWN_FROM.write_text(json.dumps(drawn_from, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
