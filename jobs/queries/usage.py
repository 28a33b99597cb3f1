"""What tenants may have and what they use: quotas, rules of retention, counts. Changes nothing.

Jobs are counted by their indexes, bytes by counters that the scripts keep, so a read costs the same
for any number of jobs.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from jobs.errors import QuotaExceeded
from jobs.store import keys
from jobs.store.connection import Store
from models.strict_models import StrictModel
from models.strict_numbers import INTEGRAL

MAX_QUOTA = 10**15 - 1
Quota = Annotated[int, Field(ge=0, le=MAX_QUOTA), INTEGRAL]


class Quotas(StrictModel):
    """The most that a tenant may have; null: the service's default."""

    queued: Quota | None = Field(None, description="jobs that wait")
    running: Quota | None = Field(None, description="jobs that run; others wait in their queue")
    spec_bytes: Quota | None = Field(None, description="bytes of the specs of all its jobs")
    dataset_bytes: Quota | None = Field(None, description="bytes of all its datasets")
    artifact_bytes: Quota | None = Field(
        None, description="bytes of its jobs' checkpoints and histories in files"
    )


class RetentionRules(StrictModel):
    """Which ended jobs stay: those that one of the rules keeps; without a rule all of them."""

    keep_days: Annotated[int, Field(ge=1, le=36_500), INTEGRAL] | None = Field(
        None, description="those that ended within so many days"
    )
    keep_last: Annotated[int, Field(ge=1, le=1_000_000), INTEGRAL] | None = Field(
        None, description="the last so many that have ended"
    )

    @property
    def is_set(self) -> bool:
        """Whether any job may be deleted."""
        return self.keep_days is not None or self.keep_last is not None


class QuotaUse(StrictModel):
    """How much of one quota is used; `limit` is null without a quota."""

    name: str = Field(exclude=True)
    used: int
    limit: int | None

    def check(self, added: int) -> None:
        """Raise QuotaExceeded where `added` more is too much."""
        if self.limit is not None and self.used + added > self.limit:
            raise QuotaExceeded(self.name, self.used, self.limit, added)


class TenantUsage(StrictModel):
    """What one tenant uses of each quota, and how long its ended jobs stay."""

    tenant: str
    queued: QuotaUse
    running: QuotaUse
    spec_bytes: QuotaUse
    dataset_bytes: QuotaUse
    artifact_bytes: QuotaUse
    queued_answers: QuotaUse = Field(
        description="predicts and exports that wait; the limit is the service's"
    )
    answer_bytes: QuotaUse = Field(
        description="bytes of predicts in the store; the limit is the service's"
    )
    retention: RetentionRules


class TenantInfo(StrictModel):
    """A tenant as an admin sees it: what is set for it alone, and what it uses."""

    name: str
    quotas: Quotas
    retention: RetentionRules
    usage: TenantUsage


QUOTA_NAMES = tuple(Quotas.model_fields)
ANSWER_LIMITS = ("queued_answers", "answer_bytes")  # that no tenant has of its own
RULE_NAMES = tuple(RetentionRules.model_fields)


class UsageQueries:
    """Reads tenants. A tenant is a name: one that nothing is known of has and uses nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_tenant(self, tenant: str) -> TenantInfo:
        """Read a tenant's settings and usage, in one round trip."""
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.tenant_settings(tenant))
            pipe.hgetall(keys.DEFAULT_QUOTAS)
            pipe.hgetall(keys.tenant_usage(tenant))
            pipe.zcard(keys.job_index(tenant, "status", "queued"))
            pipe.zcard(keys.job_index(tenant, "status", "running"))
            pipe.zcard(keys.queued_answers(tenant))
            pipe.hget(keys.answer_bytes(tenant), "total")
            settings, defaults, counters, *counts, answer_bytes = pipe.execute()
        own, limits = _integers(settings), {**_integers(defaults), **_integers(settings)}
        names = ("queued", "running", "queued_answers")
        used = {**_integers(counters), **dict(zip(names, counts, strict=True))}
        used["answer_bytes"] = int(answer_bytes or 0)
        uses = {
            name: QuotaUse(name=name, used=used.get(name, 0), limit=limits.get(name))
            for name in (*QUOTA_NAMES, *ANSWER_LIMITS)
        }
        rules = RetentionRules(**{name: own.get(name) for name in RULE_NAMES})
        return TenantInfo(
            name=tenant,
            quotas=Quotas(**{name: own.get(name) for name in QUOTA_NAMES}),
            retention=rules,
            usage=TenantUsage(tenant=tenant, **uses, retention=rules),
        )

    def check_quota(self, tenant: str, name: str, added: int) -> QuotaUse:
        """Return the use of a quota. Raises QuotaExceeded where `added` more is too much."""
        use: QuotaUse = getattr(self.read_tenant(tenant).usage, name)
        use.check(added)
        return use

    def list_names(self) -> list[str]:
        """Return the tenants that ever had a job, a dataset or settings, sorted."""
        names: Any = self._store.smembers(keys.TENANTS)
        return sorted(name.decode() for name in names)


def _integers(record: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in record.items()}
