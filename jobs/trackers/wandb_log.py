"""The log of a Weights & Biases run (`run-ID.wandb`): blocks of 32 KiB, as in LevelDB's logs.

A record is cut at the ends of blocks. Each part has a head: CRC-32 of its type and its bytes, its
length, its type. Where a block has no room for a head, zeros fill it. Knows no content of a record.
"""

import struct
from collections.abc import Iterator
from zlib import crc32

import numpy as np

from jobs.trackers.cells import Cells, Integers, join_cells, repeat

FILE_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK_BYTES = 1 << 15
HEAD = struct.Struct("<IHB")
HEAD_ARRAY = np.dtype([("checksum", "<u4"), ("length", "<u2"), ("kind", "u1")])
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4  # types of parts
CRC_OF_TYPE = {kind: crc32(bytes([kind])) for kind in (WHOLE, FIRST, MIDDLE, LAST)}


class LogFrames:
    """Frames records, one after another, from the beginning of a file."""

    def __init__(self) -> None:
        self.size = len(FILE_HEADER)  # bytes of the file so far

    def frame(self, records: Cells) -> bytes:
        """Return the next bytes of the file."""
        lengths, pieces = records.lengths, list[bytes | bytearray]()
        starts = _find_starts(lengths)
        content = _add_heads(records, starts)
        for first, cut, room in self._find_cuts(lengths):
            pieces.append(content[starts[first] : starts[cut]])
            if cut < lengths.size:
                pieces += _cut_record(content[starts[cut] + HEAD.size : starts[cut + 1]], room)
        return b"".join(pieces)

    def skip(self, lengths: Integers) -> None:
        """Count the bytes that records of these lengths take, without making them."""
        for _ in self._find_cuts(lengths):
            pass

    def _find_cuts(self, lengths: Integers) -> Iterator[tuple[int, int, int]]:
        """Yield for each block its first record, the one that is cut, and its room before that.

        Counts all their bytes. The last record of all that is cut is the number of records.
        """
        starts, first = _find_starts(lengths), 0
        while first < lengths.size:
            room = BLOCK_BYTES - self.size % BLOCK_BYTES
            cut = int(np.searchsorted(starts, starts[first] + room, "right")) - 1
            fitting = int(starts[cut] - starts[first])
            self.size += fitting
            room = room - fitting or BLOCK_BYTES
            yield first, cut, room
            if cut < lengths.size:
                padding, parts = _plan_cut(int(lengths[cut]), room)
                self.size += padding + sum(parts) + HEAD.size * len(parts)
            first = cut + 1


def _find_starts(lengths: Integers) -> Integers:
    """Return where each record begins if none is cut, and where the last one ends -> [n + 1]."""
    return np.concatenate([[0], np.cumsum(lengths + HEAD.size)])


def _add_heads(records: Cells, starts: Integers) -> bytearray:
    """Return the records one after another, each as one part."""
    content = bytearray(join_cells(repeat(bytes(HEAD.size), records.count), records).tobytes())
    view, seed = memoryview(content), CRC_OF_TYPE[WHOLE]
    bounds = zip((starts[:-1] + HEAD.size).tolist(), starts[1:].tolist(), strict=True)
    heads = np.empty(records.count, HEAD_ARRAY)
    heads["checksum"] = [crc32(view[start:end], seed) for start, end in bounds]
    heads["length"], heads["kind"] = records.lengths, WHOLE
    places = starts[:-1, None] + np.arange(HEAD.size)
    np.frombuffer(content, np.uint8)[places] = heads.view(np.uint8).reshape(-1, HEAD.size)
    return content


def _cut_record(record: bytes | bytearray, room: int) -> Iterator[bytes]:
    """Yield the padding, and the parts of a record."""
    padding, lengths = _plan_cut(len(record), room)
    yield bytes(padding)
    start, last = 0, len(lengths) - 1
    for number, length in enumerate(lengths):
        piece = record[start : start + length]
        start += length
        kind = WHOLE if last == 0 else {0: FIRST, last: LAST}.get(number, MIDDLE)
        yield HEAD.pack(crc32(piece, CRC_OF_TYPE[kind]), length, kind) + piece


def _plan_cut(length: int, room: int) -> tuple[int, list[int]]:
    """Return the bytes of padding before a record, and the lengths of its parts."""
    padding = room if room < HEAD.size else 0
    parts = [min(length, (BLOCK_BYTES if padding else room) - HEAD.size)]
    while (rest := length - sum(parts)) > 0:
        parts.append(min(rest, BLOCK_BYTES - HEAD.size))
    return padding, parts
