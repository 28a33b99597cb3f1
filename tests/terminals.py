"""The command on a terminal of its own, and on the path of a shell."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path


def on_a_terminal(*arguments: str, **environ: str) -> tuple[int, str]:
    """Run the command on a terminal of its own, 80 columns wide; gives exit code and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [sys.executable, "-m", "tickforge_client", *arguments]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **environ}
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as screen:  # EIO is the end
        while piece := screen.read(65536):
            output += piece
    return running.wait(20), output.decode()


def install_command(folder: Path) -> None:
    """Write the program `tickforge` into a folder, for a shell whose path has it."""
    program = folder / "tickforge"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tickforge_client "$@"\n')
    program.chmod(0o755)
