"""Readers of the trackers' files, written from their formats' descriptions: they check every byte.

Slow and plain, so that they share nothing with what writes the files.
"""

import struct
from collections.abc import Iterator
from typing import Any
from zlib import crc32

LOG_BLOCK = 1 << 15
Message = dict[int, list[Any]]


def crc32c(data: bytes) -> int:
    """Compute the checksum of Castagnoli, bit by bit."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82F63B78 if checksum & 1 else 0)
    return checksum ^ 0xFFFFFFFF


def read_event_records(data: bytes, *, checked: int = 40) -> Iterator[bytes]:
    """Yield the records of an event file; the checksums of the first ones are computed."""
    at, number = 0, 0
    while at < len(data):
        head, length = data[at : at + 8], int.from_bytes(data[at : at + 8], "little")
        content = data[at + 12 : at + 12 + length]
        assert len(content) == length, "a file ends with a whole record"
        if number < checked:
            assert data[at + 8 : at + 12] == _masked(head)
            assert data[at + 12 + length : at + 16 + length] == _masked(content)
        yield content
        at, number = at + 16 + length, number + 1
    assert at == len(data)


def read_events(data: bytes) -> list[tuple[int, float, dict[str, float]]]:
    """Read the events with scalars of an event file: tick, seconds since 1970, values by tag."""
    events = []
    for record in read_event_records(data):
        event = parse_message(record)
        values = {}
        for value in (
            parse_message(part) for part in parse_message(event.get(5, [b""])[0]).get(1, [])
        ):
            tag = value[1][0].decode()
            if 2 in value:
                values[tag] = struct.unpack("<f", value[2][0])[0]
            elif parse_message(value[8][0])[1] == [2]:  # DT_DOUBLE
                values[tag] = struct.unpack("<d", parse_message(value[8][0])[6][0])[0]
        if values:
            events.append((event[2][0], struct.unpack("<d", event[1][0])[0], values))
    return events


def read_log(data: bytes) -> list[bytes]:
    """Read the records of a run's log."""
    assert data[:7] == b":W&B\xe1\xbe\x00"
    at, records, open_parts = 7, list[bytes](), list[bytes]()
    while at < len(data):
        room = LOG_BLOCK - at % LOG_BLOCK
        if room < 7:
            assert data[at : at + room] == bytes(room)
            at += room
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part = data[at + 7 : at + 7 + length]
        assert 7 + length <= room and len(part) == length
        assert checksum == crc32(bytes([kind]) + part)
        assert (kind in (1, 2)) == (not open_parts)
        open_parts.append(part)
        if kind in (1, 4):
            records.append(b"".join(open_parts))
            open_parts = []
        at += 7 + length
    assert not open_parts
    return records


def read_history(records: list[bytes]) -> list[dict[str, str]]:
    """Read the history of a run: of each tick the JSON text of each value, by name."""
    rows = []
    for number, record in enumerate(records, 1):
        message = parse_message(record)
        assert message[1] == [number]
        if 2 in message:
            history = parse_message(message[2][0])
            items = [parse_message(item) for item in history[1]]
            row = {item[2][0].decode(): item[16][0].decode() for item in items}
            assert int(row["_step"]) == parse_message(history[2][0])[1][0]
            rows.append(row)
    return rows


def parse_message(data: bytes) -> Message:
    """Parse a protobuf message: the values of each field, by its number."""
    fields: Message = {}
    at = 0
    while at < len(data):
        key, at = _parse_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _parse_varint(data, at)
        else:
            length, at = _parse_varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + length], at + length
            assert len(value) == length
        fields.setdefault(number, []).append(value)
    return fields


def _parse_varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _masked(data: bytes) -> bytes:
    checksum = crc32c(data)
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return ((rotated + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
