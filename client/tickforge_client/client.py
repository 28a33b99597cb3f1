"""The service as a whole: submit and find jobs, ask what it can do. Prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tickforge_client.config import checked, find_server
from tickforge_client.datasets import Dataset
from tickforge_client.http import Session, path_of
from tickforge_client.job import Job
from tickforge_client.uploads import FileBody, type_of


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
        server = checked(url, key) if url and key else find_server(url, key, os.environ)
        self.url = server.url
        self.session = Session(server.url, server.key, say=say, sleep=sleep)

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
        return Job(self.session, self.session.make(path_of("jobs"), spec, idempotency_key))

    def plan(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What a spec would come to; nothing is stored."""
        plan: dict[str, Any] = self.session.post(path_of("jobs", "plan"), spec)
        return plan

    def job(self, job_id: str) -> Job:
        """The job of this id; raises NotFound."""
        return Job(self.session, self.session.get(path_of("jobs", job_id)))

    def page(self, **asked: Any) -> dict[str, Any]:
        """One page of the list of jobs, as the server's JSON: see GET /v1/jobs."""
        query = {name: value for name, value in asked.items() if value not in (None, (), [])}
        page: dict[str, Any] = self.session.get(path_of("jobs"), query)
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
        return self.session.get(path_of("models"))

    def workers(self) -> Any:
        """The live workers."""
        return self.session.get(path_of("workers"))

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
        media_type = type or type_of(file)
        asked = {"name": file.name[:200] if name is None else name}
        if delimiter is not None:
            asked["delimiter"] = delimiter
        body = FileBody(file, on_bytes)
        made = self.session.upload(path_of("datasets"), asked, body, media_type)
        return Dataset(self.session, made)

    def dataset(self, dataset_id: str) -> Dataset:
        """The dataset of this id; raises NotFound."""
        return Dataset(self.session, self.session.get(path_of("datasets", dataset_id)))

    def dataset_page(self, **asked: Any) -> dict[str, Any]:
        """One page of the list of datasets, as the server's JSON."""
        query = {name: value for name, value in asked.items() if value is not None}
        page: dict[str, Any] = self.session.get(path_of("datasets"), query)
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
            page = self.session.get(path_of("keys"), query)
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
            made: dict[str, Any] = self.session.make(path_of("keys"), body)
            if "secret" in made:
                return made
            self.delete_key(made["id"])

    def delete_key(self, key_id: str) -> None:
        """Delete an access key; it stops at once."""
        self.session.delete(path_of("keys", key_id))

    def version(self) -> Any:
        """Versions and limits of the service."""
        return self.session.get(path_of("version"))
