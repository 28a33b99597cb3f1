"""An upload in progress: bytes are written, hashed and profiled as they come.

Knows no HTTP: the caller receives the bytes. A file that was not finished is removed.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jobs import fault_points
from jobs.datasets.blobs import Blobs
from jobs.datasets.profiling import OffsetList, make_profiler
from jobs.files.artifacts import translate_disk_errors
from jobs.queries.usage import QuotaUse
from jobs.spec.profiles import DatasetProfile, MediaType, ParseOptions


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

    @property
    def content_identity(self) -> tuple[str, ...]:
        """What its dataset's id is derived from: type, digest, and options that are no default.

        The delimiter is always among them, as in the ids of earlier builds.
        """
        options = self.options.model_dump(exclude={"delimiter"}, exclude_defaults=True)
        others = [json.dumps(options, sort_keys=True)] if options else []
        return (self.type, self.options.delimiter, self.sha256, *others)


class Upload:
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
