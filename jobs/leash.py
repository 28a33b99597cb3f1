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
LONGEST = 1 << 30  # bytes of a header or a body; more is no frame of ours


class LeashCut(ConnectionError):
    """The other end is gone."""


class Frame(NamedTuple):
    """One message: what it is, its fields, its bytes."""

    kind: str
    header: dict[str, Any]
    body: bytearray


def send(
    leash: socket.socket, kind: str, header: dict[str, Any] | None = None, *body: "Buffer"
) -> None:
    """Send one frame, its body's parts (contiguous arrays, bytes) one behind the other, uncopied.

    Raises LeashCut when nobody is there to read it.
    """
    text = json.dumps({"kind": kind, **(header or {})}).encode()
    length = sum(memoryview(part).nbytes for part in body)
    try:
        leash.sendall(LENGTHS.pack(len(text), length) + text)
        for part in body:
            leash.sendall(part)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise LeashCut("the other end is gone") from error


def receive(leash: socket.socket) -> Frame:
    """Wait for the next frame; raises LeashCut at the end, be it between frames or inside one."""
    text_length, body_length = LENGTHS.unpack(_exactly(leash, LENGTHS.size))
    if max(text_length, body_length) > LONGEST:
        raise LeashCut(f"a frame of {max(text_length, body_length)} bytes is none of ours")
    header = json.loads(_exactly(leash, text_length))
    return Frame(header.pop("kind"), header, _exactly(leash, body_length))


def _exactly(leash: socket.socket, count: int) -> bytearray:
    data, at = bytearray(count), 0
    while at < count:
        try:
            got = leash.recv_into(memoryview(data)[at:])
        except ConnectionResetError as error:  # how a cut shows when bytes were still unread
            raise LeashCut("the other end is gone") from error
        if got == 0:
            raise LeashCut("the other end is gone")
        at += got
    return data
