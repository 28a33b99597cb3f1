"""What a job offers of pictures: its curve as the server draws it, and links that need no key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tickforge_client import curves
from tickforge_client.job_fields import CheckpointT, JobFields, JobT
from tickforge_client.paths import api_path


class SignedLink(NamedTuple):
    """An address that needs no key, and the time (RFC 3339) at which it ends."""

    url: str
    expires_at: str


class JobPictures(JobFields[JobT, CheckpointT]):
    """The pictures and links of a job, written once as coroutines."""

    async def curve(
        self,
        form: str = "svg",
        columns: str | Sequence[str] = "loss",
        *,
        log: bool | None = None,
        width: int | None = None,
        height: int | None = None,
        points: int | None = None,
        lineage: bool = False,
    ) -> bytes:
        """Return a picture of one or two columns: `form` is "svg", "png", or "txt" in UTF-8.

        `width` and `height` are pixels, of a text characters. `log` None leaves the scale to the
        server.
        """
        names = columns if isinstance(columns, str) else ",".join(columns)
        return await curves.fetch(
            self.session, self.id, form, columns=names, log=log, width=width, height=height,
            points=points, lineage=lineage or None,
        )  # fmt: skip

    async def curve_lines(self, /, encoding: str | None = "utf-8", **options: Any) -> list[str]:
        """Return the text of the curve as lines that a terminal of this encoding can show.

        Options are those of `curve`.
        """
        return await curves.terminal_lines(self.session, self.id, encoding, **options)

    async def link(self, path: str, *, expires_in: int | None = None) -> SignedLink:
        """Return a link that opens without a key, until its end or that of this client's key.

        `path` is a picture, an export, a checkpoint's file or the result, with its query, as it
        follows the job's id: "curve.svg?log=true". `expires_in` is in seconds, by default 7 days.
        """
        body = {"path": path} if expires_in is None else {"path": path, "expires_in": expires_in}
        fields = await self.session.post(api_path("jobs", self.id, "links"), body)
        return SignedLink(fields["url"], fields["expires_at"])
