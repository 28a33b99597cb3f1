"""Helpers of many test files: a real store's server, settings for it, specs to submit."""

import json
from pathlib import Path
from typing import Any

from faults.processes import inherited_environment
from faults.store_server import StoreServer, running_store
from faults.waits import wait_until
from jobs.settings import Settings

__all__ = ["StoreServer", "running_store", "wait_until"]  # beside what is made here

ROOT = Path(__file__).parent.parent
ADMIN_KEY = "an-admin-key-of-the-tests-0123456789"


def service_environment(url: str, data: Path, **extra: str) -> dict[str, str]:
    """Return the TICKFORGE_ variables of a service on this store and data folder."""
    return {
        "TICKFORGE_REDIS_URL": url,
        "TICKFORGE_DATA_DIR": str(data),
        "TICKFORGE_ADMIN_KEY": ADMIN_KEY,
        **extra,
    }


def settings_for(url: str, data: Path, **extra: str) -> Settings:
    """Return the settings of a service on this store and data folder."""
    return Settings.from_env(service_environment(url, data, **extra))


def process_environment(url: str, data: Path, **extra: str) -> dict[str, str]:
    """Return a child process's environment: PATH, the repository, the service's variables."""
    inherited = inherited_environment("TMPDIR")
    return {**inherited, "PYTHONPATH": str(ROOT), **service_environment(url, data, **extra)}


def small_spec(**changes: Any) -> dict[str, Any]:
    """Return a body of POST /v1/jobs that trains in moments; `changes` replace whole fields."""
    body: dict[str, Any] = {
        "model": {"family": "mlp", "hidden": [4]},
        "data": {
            "source": "synthetic",
            "kind": "regression",
            "samples": 32,
            "features": 3,
            "seed": 1,
        },
        "budget": {"ticks": 20},
        "batch_size": 8,
    }
    return json.loads(json.dumps({**body, **changes}))
