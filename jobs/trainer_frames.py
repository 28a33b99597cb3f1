"""The frames that runner and trainer speak over their socket. Knows no command's meaning, no torch.

A frame is two little-endian u32 lengths, a JSON object that holds `kind`, and a body of bytes. The
socket is also the leash: when one end is gone the other sees it cut.
"""

import json
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

LENGTHS = struct.Struct("<II")
MAX_PAYLOAD_BYTES = 1 << 30  # bytes of a header or a body; more is no frame of ours


class PeerGone(ConnectionError):
    """The other end is gone."""


class Frame(NamedTuple):
    """One message: what it is, its fields, its bytes."""

    kind: str
    header: dict[str, Any]
    body: bytearray


def send_frame(
    connection: socket.socket, kind: str, header: dict[str, Any] | None = None, *body: "Buffer"
) -> None:
    """Send one frame, its body's parts (contiguous arrays, bytes) one behind the other, uncopied.

    Raises PeerGone when nobody is there to read it.
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
    """Wait for the next frame; raises PeerGone at the end, be it between frames or inside one."""
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
        except ConnectionResetError as error:  # how a cut shows when bytes were still unread
            raise PeerGone("the other end is gone") from error
        if received == 0:
            raise PeerGone("the other end is gone")
        offset += received
    return data
