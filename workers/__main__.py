"""A worker: `python -m workers [--queue cpu|cuda] [--name NAME] [--alive|--selftest]`.

Starts the template first, then waits for the store, then listens for bells until SIGTERM, which
drains what runs to a checkpoint. Exit codes: 0, or 2 for a setting or a store that will not do.
"""

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

from jobs import bell, fault_points, logs, presence
from jobs.archive.identity import check_store_matches
from jobs.errors import InvalidSetting, UnsafeStore
from jobs.files import ArtifactStore
from jobs.settings import Settings
from jobs.store import UNAVAILABLE, check_store, connect, wait_ready
from workers.canaries import with_version
from workers.desk import Desk
from workers.post import Post
from workers.reconciler import Reconciler
from workers.tasks import listen
from workers.template import Template, hire
from workers.trainer import Trainer

PATIENCE = 5.0  # seconds between two lines that say that the store is waited for


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a worker, or its self-test; return the exit code."""
    asked = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _leave)  # until Celery takes it over
    desk = Desk()
    template = Template(desk.socket)
    try:
        if asked.selftest:
            return selftest(template)
        if asked.alive:
            return alive(Settings.from_env(environ), asked.name)
        post = Post(asked.name, asked.queue, Settings.from_env(environ), desk)
        return work(post, template)
    except (InvalidSetting, UnsafeStore) as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    finally:
        template.end()
        desk.clear()


def work(post: Post, template: Template) -> int:
    """Serve one queue until SIGTERM."""
    logs.configure_logging(post.settings.log_format)
    if fault_points.is_armed():
        logs.get_logger("worker").warning(fault_points.ARMED_WARNING)
    template.start()
    _await_store(post.settings)
    with Reconciler(post, template):
        return listen(bell.configure_broker(post.settings), post)


def selftest(template: Template) -> int:
    """Print what this worker is and how fast; needs no store."""
    template.start()
    process = hire(template.path, may_wait=lambda: template.alive)
    try:
        found = Trainer(process.leash).selftest()
        print(json.dumps({**found, "canary": with_version(found["canary"])}, indent=1))
    finally:
        process.bury()
    return 0


def alive(settings: Settings, name: str) -> int:
    """Exit code 0 if a worker of this machine (or of this name) has just said that it lives."""
    try:
        told = presence.live_workers(connect(settings.redis_url))
    except UNAVAILABLE as error:
        print(f"error: the store does not answer: {error}", file=sys.stderr)
        return 1
    here = f"{socket.gethostname()}-"
    return 0 if any(each["name"] == name or each["name"].startswith(here) for each in told) else 1


def _await_store(settings: Settings) -> None:
    """Wait until the store answers, however long; raises WeakStore if it would lose jobs."""
    store, say = connect(settings.redis_url), logs.get_logger("worker")
    while True:
        while not wait_ready(store, PATIENCE):
            say.warning("waiting for the store")
        try:
            check_store(store, unchecked=settings.store_unchecked)
            check_store_matches(store, ArtifactStore(settings.artifacts))
        except UNAVAILABLE:
            continue  # it went again
        store.close()
        return


def _leave(*_signal: object) -> None:
    raise SystemExit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workers",
        description="Trains queued jobs, one at a time, until SIGTERM; settings come from the "
        "environment (TICKFORGE_...).",
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--queue", choices=("cpu", "cuda"), default="cpu", help="what it trains on (cpu)")
    option("--name", default=_default_name(), help="its name in /v1/workers (host and process)")
    option("--alive", action="store_true", help="exit 0 if a worker of this machine lives, else 1")
    option("--selftest", action="store_true", help="print device, engines, canary, speed; exit")
    return parser


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
