"""Records of a TensorBoard event file: a length, its checksum, the event, its checksum."""

import numpy as np
import numpy.typing as npt

from jobs.trackers.cells import Cells, join_cells, little_endian

CASTAGNOLI = 0x82F63B78  # the polynomial of crc32c, lowest bit first
MASK_DELTA = 0xA282EAD8  # a stored checksum is rotated, and this added

Checksums = npt.NDArray[np.uint32]


def frame_events(events: Cells) -> Cells:
    """Return each event as a record."""
    lengths = little_endian(events.lengths.astype(np.uint64))
    return join_cells(lengths, _checksum_cells(lengths), events, _checksum_cells(events))


def _checksum_cells(cells: Cells) -> Cells:
    return little_endian(mask_checksums(crc32c(cells)))


def mask_checksums(checksums: Checksums) -> Checksums:
    """Return checksums as they are stored beside the bytes that they are of."""
    rotated: Checksums = checksums >> np.uint32(15) | checksums << np.uint32(17)
    return rotated + np.uint32(MASK_DELTA)


def crc32c(cells: Cells) -> Checksums:
    """Return the checksum of each string -> [n]; all are computed side by side, byte by byte."""
    checksums = np.full(cells.count, 0xFFFFFFFF, np.uint32)
    for piece in cells.pieces:
        for place, column in enumerate(piece.bytes.T):
            following = _TABLE[(checksums ^ column) & 0xFF] ^ checksums >> 8
            if piece.used is None:
                checksums = following
            else:
                checksums = np.where(piece.used[:, place], following, checksums)
    return ~checksums


def _make_table() -> Checksums:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(CASTAGNOLI), table >> 1)
    return table


_TABLE = _make_table()
