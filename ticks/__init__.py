"""Training, tick by tick: one tick is one parameter update. Knows no Redis, Celery or HTTP."""
