"""An upload in progress: bytes are written, hashed and profiled as they come.

Knows no HTTP: the caller receives the bytes. A file that was not finished is removed.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from jobs import fault_points
from jobs.datasets.blobs import Blobs
from jobs.datasets.profiling import OffsetList, make_profiler
from jobs.files.artifacts import translate_disk_errors
from jobs.queries.usage import QuotaUse
from jobs.spec.dataset_binding import DataPart
from jobs.spec.profiles import DatasetProfile, MediaType, ParseOptions


class ParentDataset(NamedTuple):
    """What an append is to: the dataset's id, its parts in order."""

    id: str
    parts: list[DataPart]


class UploadTooLarge(Exception):
    """The upload has more bytes than a dataset may have."""


@dataclass(frozen=True)
class ReceivedUpload:
    """A complete upload: its file, durable but not stored as a blob yet, and its profile."""

    path: Path
    type: MediaType
    options: ParseOptions
    sha256: str
    bytes: int
    profile: DatasetProfile
    row_offsets: OffsetList
    parent: ParentDataset | None = None
    """What it was appended to; then `path` has the new part alone, and all else is of the whole."""
    part: DataPart | None = None
    """That part; its path is made later."""

    @property
    def content_identity(self) -> tuple[str, ...]:
        """What its dataset's id is derived from: type, digest, and options that are no default.

        The delimiter is always among them, as in the ids of earlier builds.
        """
        options = self.options.model_dump(exclude={"delimiter"}, exclude_defaults=True)
        others = [json.dumps(options, sort_keys=True)] if options else []
        return (self.type, self.options.delimiter, self.sha256, *others)

    @property
    def file_sha256(self) -> str:
        """The digest of the file at `path`."""
        return self.sha256 if self.part is None else self.part.sha256

    def record_fields(self, path: str, name: str) -> dict[str, Any]:
        """Return the fields of its dataset's record, whose new file has got this path.

        The digest of the request is of what makes an id, and of what clients choose beside that.
        """
        size = self.bytes if self.part is None else self.part.bytes
        parts = [] if self.parent is None else list(self.parent.parts)
        parts.append(DataPart(path=path, sha256=self.file_sha256, bytes=size))
        parent_id = None if self.parent is None else self.parent.id
        body = json.dumps([*self.content_identity, name, *([parent_id] if parent_id else [])])
        return {
            "name": name,
            "type": self.type,
            "delimiter": self.options.delimiter,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "parts": [part.model_dump() for part in parts],
            "parent": parent_id,
            "marks": json.dumps(self.row_offsets),
            "body_digest": hashlib.sha256(body.encode()).hexdigest(),
        }


class IncomingFile:
    """The file that an upload or an append writes, locked until the block is left.

    It is removed then, unless it became a blob.
    """

    def __init__(self, blobs: Blobs) -> None:
        with translate_disk_errors():
            self._path, self._file = blobs.new_upload_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        # unlinked while locked, so that no sweep touches the file at the same time
        with contextlib.suppress(OSError):  # swept later
            self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the last bytes could not be written
            self._file.close()


class Upload(IncomingFile):
    """Takes bytes until `finish`. Leaving the block removes the file unless it became a blob."""

    def __init__(
        self,
        blobs: Blobs,
        kind: MediaType,
        options: ParseOptions,
        *,
        max_bytes: int,
        quota: QuotaUse | None = None,
    ) -> None:
        self._kind, self._options, self._max_bytes, self._quota = kind, options, max_bytes, quota
        self._profiler = make_profiler(kind, options, max_bytes=max_bytes)
        self._sha, self._bytes = hashlib.sha256(), 0
        super().__init__(blobs)

    def write(self, data: bytes) -> None:
        """Add the next bytes. Raises BadData, UploadTooLarge, QuotaExceeded or StoreFull."""
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            raise UploadTooLarge(f"at most {self._max_bytes:,} bytes")
        if self._quota is not None:
            self._quota.check(self._bytes)
        with translate_disk_errors():
            fault_points.hit("upload:write")
            self._file.write(data)
        self._sha.update(data)
        self._profiler.feed(data)

    def finish(self) -> ReceivedUpload:
        """Make the file durable and return the complete upload. Raises BadData or StoreFull."""
        with translate_disk_errors():
            self._file.flush()
            profile = self._profiler.finish(self._path)
            profile = profile.model_copy(update={"options": self._options})
            fault_points.hit("upload:fsync")
            os.fsync(self._file.fileno())
        return ReceivedUpload(
            path=self._path,
            type=self._kind,
            options=self._options,
            sha256=self._sha.hexdigest(),
            bytes=self._bytes,
            profile=profile,
            row_offsets=self._profiler.row_offsets,
        )
