"""Predicts beside a training of one thread: how long each takes, and what they cost it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis

from bench.report import Figure, ratio
from bench.service import BenchService, running_service

PREDICTS_PER_SECOND = 5
WARM_UP_PREDICTS = 5
ENDLESS_TICKS = 1_000_000_000
CLIENTS = 16  # that ask at once, where it is only counted what is left
ANSWER_SECONDS = 10  # that answers are kept there
WAIT_LIMIT_SECONDS = 60
ROW_COLUMNS = 64


def measure(rounds: int, predicts: int = 100) -> list[Figure]:
    """Alternate between a training alone and the same with `predicts` at 5 a second beside it."""
    seconds = predicts / PREDICTS_PER_SECOND
    alone, beside, latencies = list[float](), list[float](), list[float]()
    with running_service() as service, _busy_with_training(service) as (net, training):
        for _ in range(WARM_UP_PREDICTS):
            _predict(service, net)
        for _ in range(rounds):
            alone.append(_measure_rate(service, training, lambda: time.sleep(seconds)))
            asking = partial(_ask_at_a_pace, service, net, predicts, latencies)
            beside.append(_measure_rate(service, training, asking))
    return [
        Figure("predict of a row beside a training: median", "ms", [_quantile(latencies, 0.5)]),
        Figure("predict of a row beside a training: p99", "ms", [_quantile(latencies, 0.99)]),
        Figure("training alone", "ticks/s", alone),
        Figure("training, 5 predicts a second beside it", "ticks/s", beside),
        ratio("training: 5 predicts a second against none", beside, alone),
    ]


def measure_leftovers(rounds: int, predicts: int = 10_000) -> list[Figure]:
    """Ask `predicts` times; count the store's keys and the files that are left of them."""
    keys, files, rates = list[float](), list[float](), list[float]()
    environment = {"TICKFORGE_ANSWER_SECONDS": str(ANSWER_SECONDS), "TICKFORGE_RATE_LIMIT": "0"}
    with running_service(**environment) as service, _trained_net(service) as net:
        folder = (service.folder / "store.socket").read_text().strip()
        store = redis.Redis(unix_socket_path=f"{folder}/store.sock")
        for _ in range(rounds):
            keys_before, files_before = _store_keys(store), _files(service)
            started = time.perf_counter()
            with ThreadPoolExecutor(CLIENTS) as pool:
                for _ in pool.map(lambda _: _predict(service, net), range(predicts)):
                    pass
            rates.append(predicts / (time.perf_counter() - started))
            _wait_until_expired(store, keys_before)
            keys.append(len(_store_keys(store) - keys_before))
            files.append(len(_files(service) - files_before))
    return [
        Figure(f"store keys left of {predicts:,} predicts", "keys", keys),
        Figure(f"files left of {predicts:,} predicts", "files", files),
        Figure("predicts, 16 clients at once", "/s", rates),
    ]


@contextmanager
def _trained_net(service: BenchService) -> Iterator[str]:
    job = service.run({**_digits(), "budget": {"ticks": 200}})[1]
    yield str(job["id"])


@contextmanager
def _busy_with_training(service: BenchService) -> Iterator[tuple[str, str]]:
    """Train a net to ask, then one without end; yield both ids."""
    with _trained_net(service) as net:
        training = service.submit({**_digits(), "budget": {"ticks": ENDLESS_TICKS}})
        while service.job(training)["tick"] < 1000:
            time.sleep(0.1)
        yield net, training
        service.http.post(f"/v1/jobs/{training}/cancel")
        service.wait(training)


def _digits() -> dict[str, Any]:
    return {
        "model": {"family": "mlp", "hidden": [64, 64]},
        "data": {"source": "example", "name": "digits"},
        "compute": {"threads": 1},
    }


def _predict(service: BenchService, net: str) -> float:
    """Ask for one row; return the milliseconds that it took."""
    started = time.perf_counter()
    response = service.http.post(
        f"/v1/jobs/{net}/checkpoints/final/predict", json={"inputs": [[0.5] * ROW_COLUMNS]}
    )
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "succeeded", response.text
    return 1000 * (time.perf_counter() - started)


def _ask_at_a_pace(service: BenchService, net: str, predicts: int, latencies: list[float]) -> None:
    """Ask at 5 a second; add the milliseconds of each to `latencies`."""
    started = time.perf_counter()
    for number in range(predicts):
        due = started + number / PREDICTS_PER_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        latencies.append(_predict(service, net))
    time.sleep(max(0.0, started + predicts / PREDICTS_PER_SECOND - time.perf_counter()))


def _measure_rate(service: BenchService, training: str, act: Callable[[], None]) -> float:
    """Return the ticks per second of a training while `act` runs."""
    first, started = service.job(training)["tick"], time.perf_counter()
    act()
    return (service.job(training)["tick"] - first) / (time.perf_counter() - started)


def _store_keys(store: "redis.Redis") -> set[bytes]:
    return set(store.scan_iter(count=1000))


def _files(service: BenchService) -> set[str]:
    return {str(path) for path in (service.folder / "artifacts").rglob("*") if path.is_file()}


def _wait_until_expired(store: "redis.Redis", before: set[bytes]) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS + WAIT_LIMIT_SECONDS
    while time.monotonic() < deadline and _store_keys(store) - before:
        time.sleep(0.5)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
