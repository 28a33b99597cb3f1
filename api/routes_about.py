"""What runs here and whether it does: health, readiness, version, models, workers, the document."""

from functools import cache

from flask import Response, request

from api import version
from api.body import MOST_BYTES
from api.errors import AWAY_SECONDS, Problem
from api.etag import JSON, tagged
from api.openapi import text_of
from api.query import MOST_LISTED
from api.registrar import Answer, Call, Endpoints, json_answer, model_answer
from api.schemas import MOST_TICKS, FamilyPage, Health, Version, WorkerPage
from jobs import presence
from jobs.families import describe_families
from jobs.store import UNAVAILABLE

endpoint = Endpoints("about")


@endpoint("GET /healthz", scope=None, offers=(), answers={200: Answer("up", Health)})
def get_health(call: Call) -> Response:
    """Say that this process lives; asks nobody else."""
    return model_answer(Health(status="ok"))


@endpoint(
    "GET /readyz", scope=None, offers=(), answers={200: Answer("ready", Health)}, refusals=(503,)
)
def get_readiness(call: Call) -> Response:
    """Say whether the store answers, and if not, why."""
    try:
        call.service.store.ping()
    except UNAVAILABLE as error:
        loading = "loading" in str(error).lower()
        reason = "loading" if loading else "away"
        detail = "the store still loads its file" if loading else "the store does not answer"
        raise Problem(
            "store-away", detail, headers={"Retry-After": AWAY_SECONDS}, reason=reason
        ) from None
    return model_answer(Health(status="ready"))


@endpoint("GET /v1/models", answers={200: Answer("all families", FamilyPage)})
def list_models(call: Call) -> Response:
    """List the families of networks, each with the schema of its config."""
    return json_answer(_families())


@endpoint("GET /v1/workers", answers={200: Answer("live workers", WorkerPage)})
def list_workers(call: Call) -> Response:
    """List the workers that live now, as they announced themselves; others' jobs have no name."""
    live = presence.live_workers(call.service.store)
    return model_answer(WorkerPage(data=[presence.redact_for(call.watched, each) for each in live]))


@endpoint("GET /v1/version", answers={200: Answer("versions and limits", Version)})
def get_version(call: Call) -> Response:
    """Say which versions run here, and what is bounded."""
    workers = presence.live_workers(call.service.store)
    return model_answer(
        Version(
            service=version.SERVICE,
            contract=version.CONTRACT,
            families=[each.family for each in describe_families()],
            engines=sorted({name for each in workers for name in each.get("engines", [])}),
            torch=sorted({each["versions"]["torch"] for each in workers if _torch(each)}),
            limits={
                "body_bytes": MOST_BYTES,
                "dataset_bytes": call.service.settings.max_dataset_bytes,
                "page_items": MOST_LISTED,
                "page_ticks": MOST_TICKS,
                "parameters": call.service.settings.max_parameters,
            },
        )
    )


def _torch(about: presence.WorkerInfo) -> bool:
    return "torch" in (about.get("versions") or {})


@endpoint(
    "GET /openapi.json", scope=None, offers=(), answers={200: Answer("the document", media=(JSON,))}
)
def get_openapi(call: Call) -> Response:
    """Read this document."""
    return tagged(request, text_of(call.endpoints))


@cache
def _families() -> str:
    return FamilyPage(data=describe_families()).model_dump_json()
