"""The service as a whole: jobs, datasets, access keys, models, workers. Prints nothing.

Written once as coroutines; client.py has the clients.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tickforge_client.client_parts import PAGE_ENTRIES, DatasetT, JobT
from tickforge_client.paths import api_path
from tickforge_client.uploads import FileBody, media_type_of
from tickforge_client.webhook_calls import WebhookCalls


class ClientCalls(WebhookCalls[JobT, DatasetT]):
    """The calls of a client. None of them calls another: of the client that blocks they differ."""

    async def close(self) -> None:
        """Close the connection to the server."""
        await self.session.close()

    async def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> JobT:
        """Submit a spec and return the created job.

        Retries inside one call never create a second job; the same `idempotency_key` extends this
        to repeated calls. Raises InvalidRequest, whose `errors` list every wrong field.
        """
        return self._make_job(await self.session.create(api_path("jobs"), spec, idempotency_key))

    async def plan(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return the server's estimate for a spec (time, memory, engine …); nothing is stored."""
        return await self.session.post(api_path("jobs", "plan"), spec)

    async def job(self, job_id: str) -> JobT:
        """Return the job with this id. Raises NotFound."""
        return self._make_job(await self.session.get(api_path("jobs", job_id)))

    async def page(self, /, **params: Any) -> dict[str, Any]:
        """Return one page of GET /v1/jobs as JSON; `params` are its query parameters."""
        return await self.session.get(api_path("jobs"), _drop_empty(params))

    async def jobs(
        self, *, status: Sequence[str] = (), label: Sequence[str] = (), name: str | None = None
    ) -> AsyncIterator[JobT]:
        """Yield all jobs that match the filters, newest first; a label is "key:value"."""
        query = _drop_empty({"status": status, "label": label, "name": name, "limit": PAGE_ENTRIES})
        async for fields in self.session.iter_entries(api_path("jobs"), query):
            yield self._make_job(fields)

    async def models(self) -> Any:
        """Return the model families that can be trained, with their schemas, as JSON."""
        return await self.session.get(api_path("models"))

    async def workers(self) -> Any:
        """Return the live workers as JSON."""
        return await self.session.get(api_path("workers"))

    async def upload(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        type: str | None = None,
        delimiter: str | None = None,
        header: str | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        missing: Sequence[str] = (),
        inputs: str | None = None,
        targets: str | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> DatasetT:
        """Stream a CSV, TSV, JSON lines, text, NPZ or Parquet file, plain or gzip'd, to the server.

        Returns its dataset; the same content and options always get the same id. `type` is a media
        type, by default that of the file's suffix (UnknownType if there is none). Of a CSV:
        `delimiter` (comma, semicolon, tab, space, pipe), `header` (present, absent), `decimal`
        (point, comma), `thousands` (none, comma, point, space). Of a table: `missing`, the cells
        that mean a missing value beside the documented ones. Of NPZ: the names of the arrays
        `inputs` and `targets`. `on_bytes` is called with the number of bytes sent so far. Raises
        InvalidRequest with row and column of errors; what is doubtful is in the dataset's `notes`.
        """
        file = Path(path)
        media_type = type or media_type_of(file)
        params = {
            "name": file.name[:200] if name is None else name,
            "delimiter": delimiter,
            "header": header,
            "decimal": decimal,
            "thousands": thousands,
            "missing": list(missing),
            "inputs": inputs,
            "targets": targets,
        }
        body = FileBody(file, on_bytes)
        fields = await self.session.upload(
            api_path("datasets"), _drop_empty(params), body, media_type
        )
        return self._make_dataset(fields)

    async def dataset(self, dataset_id: str) -> DatasetT:
        """Return the dataset with this id. Raises NotFound."""
        return self._make_dataset(await self.session.get(api_path("datasets", dataset_id)))

    async def dataset_page(self, /, **params: Any) -> dict[str, Any]:
        """Return one page of GET /v1/datasets as JSON; `params` are its query parameters."""
        return await self.session.get(api_path("datasets"), _drop_empty(params))

    async def list_datasets(self) -> AsyncIterator[DatasetT]:
        """Yield all datasets, newest first."""
        async for fields in self.session.iter_entries(
            api_path("datasets"), {"limit": PAGE_ENTRIES}
        ):
            yield self._make_dataset(fields)

    def keys(self, *, tenant: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield the access keys, or one tenant's, newest first, without secrets. For admins."""
        query = {"limit": PAGE_ENTRIES, **({"tenant": tenant} if tenant else {})}
        return self.session.iter_entries(api_path("keys"), query)

    async def create_key(
        self, tenant: str, scopes: Sequence[str], *, name: str = ""
    ) -> dict[str, Any]:
        """Create an access key; only this response ever contains its `secret`.

        If the response with the secret was lost, the key is deleted and another one created.
        """
        body = {"tenant": tenant, "scopes": list(scopes), "name": name}
        while True:
            created = await self.session.create(api_path("keys"), body)
            if "secret" in created:
                return created
            await self.session.delete(api_path("keys", created["id"]))

    async def delete_key(self, key_id: str) -> None:
        """Delete an access key; it is refused from now on."""
        await self.session.delete(api_path("keys", key_id))

    async def usage(self, *, tenant: str | None = None) -> dict[str, Any]:
        """Return what the key's tenant uses of its quotas (`tenant`: another's, for admins)."""
        return await self.session.get(api_path("usage"), _drop_empty({"tenant": tenant}))

    def usage_events(self, *, tenant: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield what retention deleted, the oldest first."""
        query = _drop_empty({"tenant": tenant, "limit": PAGE_ENTRIES})
        return self.session.iter_entries(api_path("usage", "events"), query)

    async def tenants(self) -> list[str]:
        """Return the names of all tenants. For admins."""
        return list((await self.session.get(api_path("tenants")))["data"])

    async def tenant(self, name: str) -> dict[str, Any]:
        """Return a tenant's quotas, rules of retention and usage. For admins."""
        return await self.session.get(api_path("tenants", name))

    async def set_tenant(
        self,
        name: str,
        *,
        quotas: Mapping[str, int | None] | None = None,
        retention: Mapping[str, int | None] | None = None,
    ) -> dict[str, Any]:
        """Set the named quotas and rules of retention; None removes one. For admins."""
        body = {"quotas": dict(quotas or {}), "retention": dict(retention or {})}
        return await self.session.patch(api_path("tenants", name), body)

    async def delete_jobs(
        self,
        *,
        label: Sequence[str] = (),
        status: Sequence[str] = (),
        older_than: str | None = None,
    ) -> dict[str, int]:
        """Delete the ended jobs that match all that is given; return how many, and how many stay.

        `older_than`: an age such as "30d", or a time. Jobs with a pinned checkpoint, and those that
        live jobs need, stay.
        """
        query = _drop_empty({"label": label, "status": status, "older_than": older_than})
        done = {"deleted": 0, "kept": 0}
        while True:
            answer = await self.session.delete_matching(api_path("jobs"), query)
            done = {name: count + answer[name] for name, count in done.items()}
            if not answer["has_more"]:
                return done
            query["after"] = answer["next_after"]

    async def version(self) -> Any:
        """Return the versions and limits of the service as JSON."""
        return await self.session.get(api_path("version"))


def _drop_empty(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, (), [])}
