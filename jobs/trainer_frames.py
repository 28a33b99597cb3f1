"""The frames between runner and trainer on their socket. Knows no command's meaning, no torch.

A frame is two little-endian u32 lengths, a JSON object with `kind`, and a body of bytes. When one
end dies, the other gets PeerGone.
"""

import json
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

LENGTHS = struct.Struct("<II")
MAX_PAYLOAD_BYTES = 1 << 30  # of a header or a body


class PeerGone(ConnectionError):
    """The other end is gone."""


class Frame(NamedTuple):
    """One message: its kind, its fields, its bytes."""

    kind: str
    header: dict[str, Any]
    body: bytearray


def send_frame(
    connection: socket.socket, kind: str, header: dict[str, Any] | None = None, *body: "Buffer"
) -> None:
    """Send one frame; its body is the parts (contiguous arrays, bytes) in order, not copied.

    Raises PeerGone.
    """
    text = json.dumps({"kind": kind, **(header or {})}).encode()
    length = sum(memoryview(part).nbytes for part in body)
    try:
        connection.sendall(LENGTHS.pack(len(text), length) + text)
        for part in body:
            connection.sendall(part)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise PeerGone("the other end is gone") from error


def receive_frame(connection: socket.socket) -> Frame:
    """Wait for the next frame. Raises PeerGone at the end, also inside a frame."""
    text_length, body_length = LENGTHS.unpack(_receive_exactly(connection, LENGTHS.size))
    if max(text_length, body_length) > MAX_PAYLOAD_BYTES:
        raise PeerGone(f"a frame of {max(text_length, body_length)} bytes is none of ours")
    header = json.loads(_receive_exactly(connection, text_length))
    return Frame(header.pop("kind"), header, _receive_exactly(connection, body_length))


def _receive_exactly(connection: socket.socket, count: int) -> bytearray:
    data, offset = bytearray(count), 0
    while offset < count:
        try:
            received = connection.recv_into(memoryview(data)[offset:])
        except ConnectionResetError as error:  # the peer died with unread bytes
            raise PeerGone("the other end is gone") from error
        if received == 0:
            raise PeerGone("the other end is gone")
        offset += received
    return data
