"""An answering process's commands, carried out in this process: a frame in, a frame out."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.trainer_frames import Frame, receive_frame
from ticks.process.answering import AnswerHandler
from ticks.trainer import show_nothing

MEMORY_BYTES = 1 << 20


def checkpoint_files(folder: Path) -> dict[str, Any]:
    """Return the keys of a frame's checkpoint; a frame has the folder as text."""
    hashes = {
        name: hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for name, file in (("config", "config.json"), ("weights", "model.safetensors"))
    }
    return {"folder": folder, **{f"{name}_sha256": text for name, text in hashes.items()}}


class Answers:
    """Sends commands to a handler. Commands are about the checkpoint in `folder`."""

    def __init__(self, handler: AnswerHandler, replies: socket.socket) -> None:
        self.handler, self._replies = handler, replies

    def command(self, kind: str, **header: Any) -> Frame:
        """Carry out one command; return its reply."""
        self.handler.commands[kind](**header)
        return receive_frame(self._replies)

    def begin(self, kind: str, folder: Path, **header: Any) -> Frame:
        """Begin a work with the net of a checkpoint; return the first reply."""
        common: dict[str, Any] = {"threads": 1, "memory_bytes": MEMORY_BYTES, "work": "w"}
        if kind == "predict_dataset":
            common |= {"max_bytes": MEMORY_BYTES, "min_free_bytes": 0}
        if "checkpoint" not in header:
            common["checkpoint"] = checkpoint_files(folder)
        return self.command(kind, **{**common, **header})

    def ask(self, kind: str, folder: Path, **header: Any) -> Frame:
        """Do a work to its end; return the last reply."""
        reply = self.begin(kind, folder, **header)
        while reply.kind == "unfinished":
            reply = self.command("continue", work=reply.header["work"])
        return reply

    def predict(self, folder: Path, **request: Any) -> list[Any]:
        """Return the predictions that a body asks for."""
        reply = self.ask("predict", folder, request=request)
        assert reply.kind == "answered", reply
        predictions: list[Any] = reply.header["result"]["predictions"]
        return predictions

    def refusal(self, kind: str, folder: Path, **header: Any) -> list[tuple[str, str]]:
        """Return pointer and detail of each error of a refused work."""
        reply = self.ask(kind, folder, **header)
        assert reply.kind == "refused", reply
        return [(error["pointer"], error["detail"]) for error in reply.header["errors"]]


@contextmanager
def answering() -> Iterator[Answers]:
    """Make a handler and both ends of its socket."""
    replies, connection = socket.socketpair()
    with replies, connection:
        yield Answers(AnswerHandler(connection, show_nothing), replies)
