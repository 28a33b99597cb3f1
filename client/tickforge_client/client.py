"""The service as a whole: jobs, datasets, access keys, models, workers. Prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tickforge_client.config import resolve_server, validate
from tickforge_client.datasets import Dataset
from tickforge_client.http import ApiSession, api_path
from tickforge_client.job import Job
from tickforge_client.uploads import FileBody, media_type_of

PAGE_ENTRIES = 1000  # the server's maximum


class Client:
    """A Tickforge server and an access key for it.

    A missing `url` or `key` comes from TICKFORGE_URL and TICKFORGE_KEY, else from the config file
    that serve.py writes for the local user; raises NotConfigured if there is no key. `say` is
    called with one line when a call has to be retried; `sleep` waits between attempts.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        say: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        server = validate(url, key) if url and key else resolve_server(url, key, os.environ)
        self.url = server.url
        self.session = ApiSession(server.url, server.key, on_retry=say, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the server."""
        self.session.close()

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Submit a spec and return the created job.

        Retries inside one call never create a second job; the same `idempotency_key` extends this
        to repeated calls. Raises InvalidRequest, whose `errors` list every wrong field.
        """
        return Job(self.session, self.session.create(api_path("jobs"), spec, idempotency_key))

    def plan(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return the server's estimate for a spec (time, memory, engine …); nothing is stored."""
        return self.session.post(api_path("jobs", "plan"), spec)

    def job(self, job_id: str) -> Job:
        """Return the job with this id. Raises NotFound."""
        return Job(self.session, self.session.get(api_path("jobs", job_id)))

    def page(self, **params: Any) -> dict[str, Any]:
        """Return one page of GET /v1/jobs as JSON; `params` are its query parameters."""
        return self.session.get(api_path("jobs"), _drop_empty(params))

    def jobs(
        self, *, status: Sequence[str] = (), label: Sequence[str] = (), name: str | None = None
    ) -> Iterator[Job]:
        """Yield all jobs that match the filters, newest first; a label is "key:value"."""
        query = _drop_empty({"status": status, "label": label, "name": name, "limit": PAGE_ENTRIES})
        for fields in self.session.iter_entries(api_path("jobs"), query):
            yield Job(self.session, fields)

    def models(self) -> Any:
        """Return the model families that can be trained, with their schemas, as JSON."""
        return self.session.get(api_path("models"))

    def workers(self) -> Any:
        """Return the live workers as JSON."""
        return self.session.get(api_path("workers"))

    def upload(
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
    ) -> Dataset:
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
        fields = self.session.upload(api_path("datasets"), _drop_empty(params), body, media_type)
        return Dataset(self.session, fields)

    def dataset(self, dataset_id: str) -> Dataset:
        """Return the dataset with this id. Raises NotFound."""
        return Dataset(self.session, self.session.get(api_path("datasets", dataset_id)))

    def dataset_page(self, **params: Any) -> dict[str, Any]:
        """Return one page of GET /v1/datasets as JSON; `params` are its query parameters."""
        return self.session.get(api_path("datasets"), _drop_empty(params))

    @property
    def datasets(self) -> Iterator[Dataset]:
        """Yield all datasets, newest first."""
        for fields in self.session.iter_entries(api_path("datasets"), {"limit": PAGE_ENTRIES}):
            yield Dataset(self.session, fields)

    def keys(self, *, tenant: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the access keys, or one tenant's, newest first, without secrets. For admins."""
        query = {"limit": PAGE_ENTRIES, **({"tenant": tenant} if tenant else {})}
        return self.session.iter_entries(api_path("keys"), query)

    def create_key(self, tenant: str, scopes: Sequence[str], *, name: str = "") -> dict[str, Any]:
        """Create an access key; only this response ever contains its `secret`.

        If the response with the secret was lost, the key is deleted and another one created.
        """
        body = {"tenant": tenant, "scopes": list(scopes), "name": name}
        while True:
            created = self.session.create(api_path("keys"), body)
            if "secret" in created:
                return created
            self.delete_key(created["id"])

    def delete_key(self, key_id: str) -> None:
        """Delete an access key; it is refused from now on."""
        self.session.delete(api_path("keys", key_id))

    def usage(self, *, tenant: str | None = None) -> dict[str, Any]:
        """Return what the key's tenant uses of its quotas (`tenant`: another's, for admins)."""
        return self.session.get(api_path("usage"), _drop_empty({"tenant": tenant}))

    def usage_events(self, *, tenant: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield what retention deleted, the oldest first."""
        query = _drop_empty({"tenant": tenant, "limit": PAGE_ENTRIES})
        return self.session.iter_entries(api_path("usage", "events"), query)

    def tenants(self) -> list[str]:
        """Return the names of all tenants. For admins."""
        return list(self.session.get(api_path("tenants"))["data"])

    def tenant(self, name: str) -> dict[str, Any]:
        """Return a tenant's quotas, rules of retention and usage. For admins."""
        return self.session.get(api_path("tenants", name))

    def set_tenant(
        self,
        name: str,
        *,
        quotas: Mapping[str, int | None] | None = None,
        retention: Mapping[str, int | None] | None = None,
    ) -> dict[str, Any]:
        """Set the named quotas and rules of retention; None removes one. For admins."""
        body = {"quotas": dict(quotas or {}), "retention": dict(retention or {})}
        return self.session.patch(api_path("tenants", name), body)

    def delete_jobs(
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
            answer = self.session.delete_matching(api_path("jobs"), query)
            done = {name: count + answer[name] for name, count in done.items()}
            if not answer["has_more"]:
                return done
            query["after"] = answer["next_after"]

    def version(self) -> Any:
        """Return the versions and limits of the service as JSON."""
        return self.session.get(api_path("version"))


def _drop_empty(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, (), [])}
