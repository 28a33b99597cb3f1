"""The Celery app and its settings. Celery only wakes workers: a lost message loses nothing.

The queue of jobs is in the store, and reconcilers send wake-up messages until it is empty. So:
early ack, no prefetch, no results, no ETA, JSON only. Knows no job.
"""

import math
import time
from urllib.parse import quote

from celery import Celery
from kombu.pools import producers

from jobs import logs
from jobs.broker_transport import ADDRESS_OPTION, SCHEME
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import connection_options
from jobs.store_address import describe_address

TASK_NAME = "tickforge.ring"

app = Celery("tickforge")
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    event_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=False,
    task_reject_on_worker_lost=False,
    task_create_missing_queues=False,
    task_default_queue=keys.celery_queue("cpu"),
    task_queues={keys.celery_queue(queue): {} for queue in ("cpu", "cuda")},
    worker_concurrency=1,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_proc_alive_timeout=60,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 3600,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
)


def configure_broker(settings: Settings) -> Celery:
    """Set the app's broker, before the first message or worker."""
    address = settings.broker_url
    options = {**app.conf.broker_transport_options, ADDRESS_OPTION: connection_options(address)}
    app.conf.broker_transport_options = options
    app.conf.broker_url = kombu_url(address)
    return app


def kombu_url(address: str) -> str:
    """Return where the broker is, as kombu writes it: for its log lines, so without a password."""
    place = describe_address(address)
    path, host = f"{SCHEME}+socket://{quote(place)}", f"{SCHEME}://{place}"
    return path if place.startswith("/") else host


def wake_workers(queue: str, times: int = 1, *, until: float = math.inf) -> None:
    """Wake workers of a queue by `times` messages. Never raises: a reconciler sends them again.

    None is sent after the monotonic time `until`, from which on another sender may count again how
    many are missing: what both sent would be too much.
    """
    try:
        name = keys.celery_queue(queue)
        with producers[app.connection_for_write()].acquire(block=True) as producer:
            for _ in range(times):
                if time.monotonic() >= until:
                    return
                app.send_task(TASK_NAME, queue=name, producer=producer, retry=False)
    except Exception as error:  # whatever the broker's client raises
        logs.get_logger("wake-up").warning("wake-up not sent", queue=queue, error=repr(error))
