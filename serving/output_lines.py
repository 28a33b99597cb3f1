"""Reads what a child process writes, line by line, without waiting for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

CHUNK_BYTES = 65_536
MAX_LINE_BYTES = 65_536  # a longer one is passed on in parts


class OutputLines:
    """Passes each line of a child's pipe to `on_line`, without its end; owns the pipe."""

    def __init__(self, pipe: IO[bytes], on_line: Callable[[str], None]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe, self._on_line = pipe, on_line
        self._rest = b""

    def read(self) -> None:
        """Pass on the lines that are whole by now."""
        while chunk := self._read_chunk():
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if len(self._rest) > MAX_LINE_BYTES:
                lines.append(self._rest)
                self._rest = b""
            for line in lines:
                self._on_line(line.decode(errors="replace"))

    def close(self) -> None:
        """Pass on the rest, of a process that has ended, and close the pipe."""
        self.read()
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))
        self._pipe.close()

    def _read_chunk(self) -> bytes:
        try:
            return os.read(self._pipe.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return b""
