"""The service as a whole: submit and find jobs, ask what it can do. Prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tickforge_client.config import resolve_server, validate
from tickforge_client.datasets import Dataset
from tickforge_client.http import ApiSession, api_path
from tickforge_client.job import Job
from tickforge_client.uploads import FileBody, media_type_of


class Client:
    """A Tickforge server and a key to it.

    Without `url` or `key`: TICKFORGE_URL and TICKFORGE_KEY, else what serve.py left for the local
    user. SAY hears, in a line, of every try that has to be repeated.
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

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.session.close()

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Hand in a spec; raises InvalidRequest with all its faults.

        However often the request has to be sent, it makes one job. With an `idempotency_key` of
        your own that holds across calls too.
        """
        return Job(self.session, self.session.create(api_path("jobs"), spec, idempotency_key))

    def plan(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What a spec would come to; nothing is stored."""
        plan: dict[str, Any] = self.session.post(api_path("jobs", "plan"), spec)
        return plan

    def job(self, job_id: str) -> Job:
        """The job of this id; raises NotFound."""
        return Job(self.session, self.session.get(api_path("jobs", job_id)))

    def page(self, **params: Any) -> dict[str, Any]:
        """One page of the list of jobs, as the server's JSON: see GET /v1/jobs."""
        query = {name: value for name, value in params.items() if value not in (None, (), [])}
        page: dict[str, Any] = self.session.get(api_path("jobs"), query)
        return page

    def jobs(
        self,
        *,
        status: Sequence[str] = (),
        label: Sequence[str] = (),
        name: str | None = None,
    ) -> Iterator[Job]:
        """All jobs that fit, newest first; a label is "key:value"."""
        after: str | None = None
        while True:
            page = self.page(status=status, label=label, name=name, after=after, limit=1000)
            yield from (Job(self.session, fields) for fields in page["data"])
            if not page["has_more"]:
                return
            after = page["next_after"]

    def models(self) -> Any:
        """The families that can be trained."""
        return self.session.get(api_path("models"))

    def workers(self) -> Any:
        """The live workers."""
        return self.session.get(api_path("workers"))

    def upload(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        type: str | None = None,
        delimiter: str | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Dataset:
        """Upload a file (CSV, JSON lines, text, NPZ) as it is read; the same file, the same id.

        Its type is told by its name's ending unless `type` (a media type) does. Raises
        InvalidRequest with row and column of what is wrong. ON_BYTES hears how many bytes are sent.
        """
        file = Path(path)
        media_type = type or media_type_of(file)
        params = {"name": file.name[:200] if name is None else name}
        if delimiter is not None:
            params["delimiter"] = delimiter
        body = FileBody(file, on_bytes)
        created = self.session.upload(api_path("datasets"), params, body, media_type)
        return Dataset(self.session, created)

    def dataset(self, dataset_id: str) -> Dataset:
        """The dataset of this id; raises NotFound."""
        return Dataset(self.session, self.session.get(api_path("datasets", dataset_id)))

    def dataset_page(self, **params: Any) -> dict[str, Any]:
        """One page of the list of datasets, as the server's JSON."""
        query = {name: value for name, value in params.items() if value is not None}
        page: dict[str, Any] = self.session.get(api_path("datasets"), query)
        return page

    @property
    def datasets(self) -> Iterator[Dataset]:
        """All datasets, newest first."""
        after: str | None = None
        while True:
            page = self.dataset_page(after=after, limit=1000)
            yield from (Dataset(self.session, fields) for fields in page["data"])
            if not page["has_more"]:
                return
            after = page["next_after"]

    def keys(self, *, tenant: str | None = None) -> Iterator[dict[str, Any]]:
        """All access keys, or a tenant's, newest first, without their secrets; for an admin."""
        query: dict[str, Any] = {"limit": 1000, **({"tenant": tenant} if tenant else {})}
        while True:
            page = self.session.get(api_path("keys"), query)
            yield from page["data"]
            if not page["has_more"]:
                return
            query["after"] = page["next_after"]

    def create_key(self, tenant: str, scopes: Sequence[str], *, name: str = "") -> dict[str, Any]:
        """Make an access key; `secret` is shown this once.

        When the answer with the secret was lost on its way, that key is deleted and another made.
        """
        body = {"tenant": tenant, "scopes": list(scopes), "name": name}
        while True:
            created: dict[str, Any] = self.session.create(api_path("keys"), body)
            if "secret" in created:
                return created
            self.delete_key(created["id"])

    def delete_key(self, key_id: str) -> None:
        """Delete an access key; it stops at once."""
        self.session.delete(api_path("keys", key_id))

    def version(self) -> Any:
        """Versions and limits of the service."""
        return self.session.get(api_path("version"))
