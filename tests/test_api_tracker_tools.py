"""Exports read back with the trackers' own readers (make trackers); test_api_trackers has bytes."""

import importlib.util
import io
import json
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.job import SparsePoint
from jobs.settings import Settings
from jobs.store.connection import Store
from tests.manual_worker import ManualWorker
from tests.needs import TENSORBOARD, WANDB, needs
from tests.support import wait_until

TICKS, VALIDATED = 500, (200, 500)
LOSSES = np.random.default_rng(3).standard_normal(TICKS).astype(np.float32)
LOSSES[:3] = [np.nan, np.inf, -np.inf]


def val_loss(tick: int) -> float:
    return 1 / (tick + 1)  # no float32


@pytest.fixture
def path(submit: Callable[..., str], store: Store, settings: Settings) -> str:
    """The path of an ended job's exports."""
    job_id = submit(budget={"ticks": TICKS}, validation={"fraction": 0.5, "every_ticks": 300})
    worker = ManualWorker(store, settings)
    points = [
        SparsePoint("val_loss", tick, struct.pack("<d", val_loss(tick))) for tick in VALIDATED
    ]
    points.append(SparsePoint("time", TICKS, struct.pack("<d", 2.0)))
    worker.record(LOSSES, points)
    worker.end("succeeded", stopped_by="budget")
    return f"/v1/jobs/{job_id}/export"


def check_scalars(scalars: dict[str, Any]) -> None:
    """Check what TensorBoard shows: float32 alone."""
    assert set(scalars) == {"loss", "lr", "val_loss"}
    assert [event.step for event in scalars["loss"]] == list(range(1, TICKS + 1))
    losses = np.array([event.value for event in scalars["loss"]], np.float32)
    assert losses.tobytes() == LOSSES.tobytes()
    points = [(event.step, event.value) for event in scalars["val_loss"]]
    assert points == [(tick, np.float32(val_loss(tick))) for tick in VALIDATED]
    assert [event.value for event in scalars["lr"]] == [np.float32(0.001)] * TICKS


@needs(TENSORBOARD)
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_every_tick_once_with_its_bits(
    client: Any, path: str, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    file = tmp_path / "events.out.tfevents.1.job"
    file.write_bytes(client.get(f"{path}/tensorboard").data)
    steps = [event.step for event in LegacyEventFileLoader(str(file)).Load()]
    assert steps == [0, 0, 0, *range(1, TICKS + 1)]
    reader = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    check_scalars({tag: reader.Scalars(tag) for tag in reader.Tags()["scalars"]})
    points = [
        (event.step, make_ndarray(event.tensor_proto).item())
        for event in reader.Tensors("float64/val_loss")
    ]
    assert points == [(tick, val_loss(tick)) for tick in VALIDATED]
    rates = [make_ndarray(event.tensor_proto).item() for event in reader.Tensors("float64/lr")]
    assert rates == [0.001] * TICKS
    assert b'"optimizer"' in make_ndarray(reader.Tensors("spec")[0].tensor_proto).item()
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data as parse

    content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert parse(content).hparams["optimizer.lr"].number_value == 0.001


@needs(TENSORBOARD)
@pytest.mark.filterwarnings("ignore")
def test_tensorboards_pages_get_every_value_from_its_data_server(
    client: Any, path: str, tmp_path: Path
) -> None:
    """`tensorboard` reads files by this program, whose rules are not those of its Python reader."""
    import grpc
    from tensorboard.context import RequestContext
    from tensorboard.data.grpc_provider import GrpcDataProvider, make_stub
    from tensorboard.data.server_ingester import get_server_binary

    folder, port_file = tmp_path / "logs" / "job", tmp_path / "port"
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1.job").write_bytes(client.get(f"{path}/tensorboard").data)
    command = [get_server_binary().path, f"--logdir={folder.parent}", f"--port-file={port_file}",
               "--port=0", "--die-after-stdin", "--samples-per-plugin=scalars=1000"]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL):
        wait_until(lambda: port_file.exists() and bool(port_file.read_text()), 30, "its port")
        address = f"localhost:{port_file.read_text().strip()}"
        with grpc.insecure_channel(address) as channel:
            provider = GrpcDataProvider(address, make_stub(channel))

            def read_scalars() -> dict[str, Any]:
                runs = provider.read_scalars(
                    RequestContext(), experiment_id="", plugin_name="scalars", downsample=TICKS
                )
                return dict(runs.get("job", {}))

            def is_read() -> bool:
                return len(read_scalars().get("loss", ())) == TICKS

            wait_until(is_read, 30, "every tick")
            check_scalars(read_scalars())


@needs(WANDB)
def test_wandb_reads_every_tick_once_with_its_numbers(
    client: Any, path: str, tmp_path: Path
) -> None:
    with tarfile.open(fileobj=io.BytesIO(client.get(f"{path}/wandb").data)) as tar:
        tar.extractall(tmp_path, filter="data")
    (log,) = tmp_path.glob("offline-run-*/run-*.wandb")
    package = importlib.util.find_spec("wandb")
    assert package is not None and package.submodule_search_locations is not None
    # the package's own reader of logs; its Python part would be imported for 2 s
    reader = Path(package.submodule_search_locations[0], "bin", "wandb-core")
    command = [reader, "leet", "inspect", "-no-observability", "-json", "-run-file", log]
    environment = {"HOME": str(tmp_path)}
    output = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    records = [json.loads(line) for line in output.splitlines()]
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [item["_step"] for item in items] == list(range(1, TICKS + 1))
    values = np.array([float(item["loss"]) for item in items], np.float32)
    assert np.array_equal(values, LOSSES, equal_nan=True)
    assert {item["_step"]: item["val_loss"] for item in items if "val_loss" in item} == {
        tick: val_loss(tick) for tick in VALIDATED
    }
    assert [record["type"] for record in records[-2:]] == ["summary", "exit"]
    run = next(record["run"] for record in records if record["type"] == "run")
    assert run["config"]["update"]["optimizer"]["lr"] == 0.001
