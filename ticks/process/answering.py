"""The answering process: predictions and evaluations of trained nets, as frames ask for them.

It is forked as a trainer is, and knows neither store nor HTTP. Long work is done in slices, so that
a short answer can be given between two slices of a long one. The commands, with the keys of their
headers:

    predict          work, checkpoint, threads, memory_bytes, request
    predict_dataset  work, checkpoint, threads, memory_bytes, artifacts, file, output, max_bytes,
                     min_free_bytes
    evaluate         work, checkpoint, threads, memory_bytes, artifacts, file, drops_gaps
    export_onnx      work, checkpoint, threads, memory_bytes, output
    continue         work
    drop             work

and their replies:

    answered    work, result
    refused     work, errors: pointer, detail, value each
    failed      work, type, detail: a file is damaged or missing, the disk refuses one, or the
                computation raised an exception; the process and its other works go on
    unfinished  work, done, total (null where unknown): `continue` does the next slice
    dropped     work
    alive       -; sent any number of times before a reply
    error       type, detail, traceback; the process then ends

`work` names what a command began. `checkpoint` has the keys of CheckpointFiles; `threads` are those
of its training, `memory_bytes` bounds the nets that are held for later. `request` is the body of
the client's. `file` is a DataFile below the folder `artifacts`, `output` the path of a new file: of
at most `max_bytes`, which leaves `min_free_bytes` of the disk free.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import fault_points
from jobs.spec.dataset_binding import DataFile
from jobs.trainer_frames import send_frame
from ticks import machine
from ticks.answers.dataset_predictions import predict_dataset
from ticks.answers.evaluation import evaluate_dataset
from ticks.answers.nets import CheckpointFiles, LoadedNet, NetCache
from ticks.answers.onnx_export import export_onnx
from ticks.answers.predictions import predict
from ticks.answers.result_file import ResultFile
from ticks.answers.work import JsonDict, Progress, RefusedRequest, Work

SLICE_SECONDS = 0.1  # of a long work, before another command may come


@dataclass(frozen=True)
class OpenWork:
    """A work that is not done, and the thread count that its bits belong to."""

    steps: Work
    threads: int


class AnswerHandler:
    """The commands of an answering process, a method for each kind of frame."""

    def __init__(self, connection: socket.socket, show_progress: Callable[[], None]) -> None:
        self._connection, self._show_progress = connection, show_progress
        self._nets = NetCache(show_progress)
        self._open: dict[str, OpenWork] = {}
        self.commands: dict[str, Callable[..., None]] = {
            "predict": self.predict, "predict_dataset": self.predict_dataset,
            "evaluate": self.evaluate, "export_onnx": self.export_onnx,
            "continue": self.run_slice, "drop": self.drop,
        }  # fmt: skip

    def predict(self, request: JsonDict, **common: Any) -> None:
        """Predict what a client's body asks for."""
        self._start(lambda net: predict(net, request), **common)

    def predict_dataset(
        self,
        artifacts: str,
        file: JsonDict,
        output: str,
        max_bytes: int,
        min_free_bytes: int,
        **common: Any,
    ) -> None:
        """Predict the rows of a dataset into a file."""
        data_file, folder = DataFile.model_validate(file), Path(artifacts)
        result = ResultFile(Path(output), max_bytes, min_free_bytes)

        def begin(net: LoadedNet) -> Work:
            return predict_dataset(net, folder, data_file, result, self._announce)

        self._start(begin, **common)

    def evaluate(
        self, artifacts: str, file: JsonDict, drops_gaps: bool = False, **common: Any
    ) -> None:
        """Evaluate a net on a dataset."""
        data_file, folder = DataFile.model_validate(file), Path(artifacts)

        def begin(net: LoadedNet) -> Work:
            return evaluate_dataset(net, folder, data_file, self._announce, drops_gaps=drops_gaps)

        self._start(begin, **common)

    def export_onnx(self, output: str, **common: Any) -> None:
        """Write a net as model.onnx."""
        self._start(lambda net: export_onnx(net, Path(output)), **common)

    def run_slice(self, work: str) -> None:
        """Go on with a work for SLICE_SECONDS or to its end, and reply."""
        open_work = self._open[work]
        machine.configure_torch(open_work.threads)
        kind, header = self._advance(open_work.steps)
        if kind != "unfinished":
            self.forget(work)
        fault_points.hit("answer:reply")
        send_frame(self._connection, kind, {"work": work, **header})

    def drop(self, work: str) -> None:
        """Forget a work, done or not."""
        self.forget(work)
        send_frame(self._connection, "dropped", {"work": work})

    def forget(self, work: str) -> None:
        """Close a work, which lets go of its files."""
        if (open_work := self._open.pop(work, None)) is not None:
            open_work.steps.close()

    def _start(
        self,
        begin: Callable[[LoadedNet], Work],
        work: str,
        checkpoint: JsonDict,
        threads: int,
        memory_bytes: int,
    ) -> None:
        """Begin a work with the net of a checkpoint, and do its first slice."""
        files = CheckpointFiles(**{**checkpoint, "folder": Path(checkpoint["folder"])})

        def steps() -> Work:
            fault_points.hit("answer:load")
            net = self._nets.get(files, threads, memory_bytes)
            yield Progress(0)
            return (yield from begin(net))

        self._open[work] = OpenWork(steps(), threads)
        self.run_slice(work)

    def _advance(self, steps: Work) -> tuple[str, JsonDict]:
        """Do steps for SLICE_SECONDS; return the reply's kind and its keys beside `work`."""
        until = time.monotonic() + SLICE_SECONDS
        try:
            while True:
                fault_points.hit("answer:step")
                progress = next(steps)
                if time.monotonic() >= until:
                    return "unfinished", {**progress._asdict()}
        except StopIteration as end:
            return "answered", {"result": end.value}
        except RefusedRequest as refusal:
            return "refused", {"errors": refusal.errors}
        except MemoryError:
            raise  # another process has more of it, without the nets that are held here
        except Exception as error:
            return "failed", {"type": type(error).__name__, "detail": str(error)}

    def _announce(self, _phase: str) -> None:
        self._show_progress()
