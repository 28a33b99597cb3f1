"""An append in progress: rows come in, are hashed behind the parent's bytes, and must all fit.

The whole is its parent's bytes and then the new part's: the rows without a header, begun on a line
of their own. So it is the file that could have been uploaded whole, with that file's digest and id.
Knows no HTTP and no store.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from jobs import fault_points
from jobs.datasets.append_scan import AppendedTable, AppendedText
from jobs.datasets.blobs import Blobs
from jobs.datasets.dataset import DatasetRecord
from jobs.datasets.formats.damage import DamagedDataset
from jobs.datasets.formats.data_errors import data_error
from jobs.datasets.profiling import OffsetList, make_profiler
from jobs.datasets.table_scanner import RowOffsets
from jobs.datasets.upload import IncomingFile, ParentDataset, ReceivedUpload, UploadTooLarge
from jobs.files.artifacts import translate_disk_errors
from jobs.queries.usage import QuotaUse
from jobs.spec.dataset_binding import DataPart
from jobs.spec.profiles import DatasetProfile

MAX_PARTS = 256  # of a dataset
#: the kinds of file that go on where they end
APPENDABLE = ("text/csv", "application/x-ndjson", "text/plain")
BOM = b"\xef\xbb\xbf"
READ_SIZE, MAX_TAIL_BYTES = 1 << 20, 1 << 20


class Append(IncomingFile):
    """Takes bytes until `finish`, as an upload does; nothing of a refused one is left."""

    def __init__(
        self,
        blobs: Blobs,
        parent: DatasetRecord,
        stream: BinaryIO,
        *,
        max_bytes: int,
        quota: QuotaUse | None = None,
        renew_hold: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the parent's bytes from `stream` once, to hash the whole.

        Raises BadData where nothing can follow them, DamagedDataset where they are not what came.
        """
        _check_appendable(parent)
        self._parent, self._max_bytes, self._quota = parent, max_bytes, quota
        self._options = parent.known_dataset.file.parse_options
        delimiter = {"tab": b"\t", "space": b" "}.get(self._options.delimiter, b"")
        is_text = parent.dataset.type == "text/plain"
        self._blanks = None if is_text else b"\r\n" + b" \t".replace(delimiter or b"\0", b"")
        self._sha, profile, tail = _read_parent(parent, stream, renew_hold)
        self._separator = _separator(tail, self._blanks)
        self._scan = _make_scan(parent, profile)
        self._part_sha, self._part_bytes, self._received = hashlib.sha256(), 0, 0
        self._head, self._held = b"", b""
        self._is_begun = self._is_marked = False
        super().__init__(blobs)

    def write(self, data: bytes) -> None:
        """Add the next bytes. Raises BadData, UploadTooLarge, QuotaExceeded or StoreFull."""
        self._received += len(data)
        if self._parent.dataset.bytes + self._received > self._max_bytes:
            raise UploadTooLarge(f"at most {self._max_bytes:,} bytes in all")
        if self._quota is not None:
            self._quota.check(self._received)
        if not self._is_marked:  # a byte-order mark is none within a file
            self._head += data
            if len(self._head) < len(BOM):
                return
            data, self._head = self._head.removeprefix(BOM), b""
            self._is_marked = True
        self._scan.feed(data)
        self._take(data)

    def finish(self) -> ReceivedUpload:
        """Make the part durable; return the whole. Raises BadData or StoreFull."""
        if not self._is_marked:
            self._scan.feed(self._head)
            self._take(self._head)
        profile = self._scan.finish(self._path)
        self._take(b"")
        end = self._held.find(b"\n") + 1  # blank lines at the end are left out
        with translate_disk_errors():
            self._store(self._held[:end] if end else self._held)
            self._file.flush()
            fault_points.hit("upload:fsync")
            os.fsync(self._file.fileno())
        return self._received_upload(profile)

    def _received_upload(self, profile: DatasetProfile) -> ReceivedUpload:
        record, dataset = self._parent, self._parent.dataset
        part = DataPart(path="", sha256=self._part_sha.hexdigest(), bytes=self._part_bytes)
        return ReceivedUpload(
            path=self._path,
            type=dataset.type,
            options=self._options,
            sha256=self._sha.hexdigest(),
            bytes=dataset.bytes + self._part_bytes,
            profile=profile,
            row_offsets=self._all_offsets(),
            parent=ParentDataset(dataset.id, record.parts),
            part=part,
        )

    def _all_offsets(self) -> OffsetList:
        """Return where rows begin in the whole, as many as an upload has."""
        offsets, rows = RowOffsets(), self._parent.dataset.rows or 0
        moved_by = (
            self._parent.dataset.bytes + len(self._separator) - (self._scan.header_bytes or 0)
        )
        for row, offset in self._parent.row_offsets:
            offsets.add(row, offset)
        for row, offset in self._scan.row_offsets:
            if row > rows:
                offsets.add(row, offset + moved_by)
        return offsets.entries

    def _take(self, data: bytes) -> None:
        """Store bytes once it is known where the first row begins; hold blank lines at the end."""
        self._held += data
        if self._scan.header_bytes is None:
            return
        if not self._is_begun:
            self._is_begun = True
            self._held = self._held[self._scan.header_bytes :]
            self._store(self._separator)
        end = len(self._held)
        if self._blanks is not None:
            end = len(self._held.rstrip(self._blanks))
        ready, self._held = self._held[:end], self._held[end:]
        self._store(ready)

    def _store(self, data: bytes) -> None:
        with translate_disk_errors():
            fault_points.hit("upload:write")
            self._file.write(data)
        self._sha.update(data)
        self._part_sha.update(data)
        self._part_bytes += len(data)


def _check_appendable(parent: DatasetRecord) -> None:
    if parent.dataset.type not in APPENDABLE:
        rule = (
            f"a dataset of {', '.join(APPENDABLE)}: a file of {parent.dataset.type} ends with its "
            "directory, so upload the whole"
        )
        raise data_error(rule, parent.dataset.type)
    if len(parent.parts) >= MAX_PARTS:
        rule = f"a dataset of at most {MAX_PARTS} parts: download it, delete it, upload it whole"
        raise data_error(rule, len(parent.parts))


def _read_parent(
    parent: DatasetRecord, stream: BinaryIO, renew_hold: Callable[[], None]
) -> "tuple[hashlib._Hash, DatasetProfile, bytes]":
    """Return the hash of the parent's bytes, its profile with a scan, and its last bytes.

    A table of an earlier build has no scan: it is profiled again, as its bytes pass by.
    """
    sha, tail, profile = hashlib.sha256(), b"", parent.profile
    is_old = profile.columns is not None and profile.scan is None
    options = parent.known_dataset.file.parse_options
    profiler = make_profiler(parent.dataset.type, options) if is_old else None
    while piece := stream.read(READ_SIZE):
        sha.update(piece)
        if profiler is not None:
            profiler.feed(piece)
        tail = (tail + piece)[-MAX_TAIL_BYTES:]
        renew_hold()
    if sha.hexdigest() != parent.dataset.sha256:
        raise DamagedDataset(f"the file of sha256 {parent.dataset.sha256} has other bytes now")
    if profiler is not None:
        profile = profiler.finish(Path()).model_copy(update={"options": parent.profile.options})
    return sha, profile, tail


def _separator(tail: bytes, blanks: bytes | None) -> bytes:
    """Return what stands between the parent's last row and the next one.

    Raises BadData where the parent ends in blank lines, which are errors within a table.
    """
    if blanks is None:
        return b""
    rest = tail[len(tail.rstrip(blanks)) :]
    _, newline, further = rest.partition(b"\n")
    if further:
        rule = "a dataset that does not end in blank lines: upload it without them"
        raise data_error(rule, further[:20].decode(errors="replace"))
    return b"" if newline else b"\n"


def _make_scan(parent: DatasetRecord, profile: DatasetProfile) -> AppendedTable | AppendedText:
    if profile.text is not None:
        return AppendedText(profile)
    return AppendedTable(parent.dataset.type, parent.known_dataset.file.parse_options, profile)
