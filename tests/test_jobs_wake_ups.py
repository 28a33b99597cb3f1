"""Wake-ups: never more of them than jobs wait, though several reconcilers send them."""

import time

from jobs import celery_app
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Store


def test_wake_ups_that_were_counted_too_long_ago_are_not_sent(
    settings: Settings, store: Store
) -> None:
    celery_app.configure_broker(settings)
    queue = keys.celery_queue("cpu")

    celery_app.wake_workers("cpu", 3, until=time.monotonic())
    assert store.llen(queue) == 0

    celery_app.wake_workers("cpu", 3, until=time.monotonic() + 3600)
    assert store.llen(queue) == 3
