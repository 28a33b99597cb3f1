"""How a tick is made. Torch; no Redis, no Celery, no HTTP, no clock."""
