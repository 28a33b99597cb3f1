"""Evaluate a net on an uploaded dataset: the metrics of a validation, and a confusion matrix."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jobs.datasets.formats.damage import StoredPath
from jobs.datasets.formats.joined_file import locate
from jobs.spec.dataset_binding import DataFile
from jobs.spec.text import Vocabulary
from ticks.answers.dataset_rows import (
    NPZ_TYPE,
    TEXT_TYPE,
    RecordBlock,
    check_file,
    read_arrays,
    read_records,
    require_form,
)
from ticks.answers.dataset_targets import TargetReader
from ticks.answers.nets import LoadedNet
from ticks.answers.work import JsonDict, Progress, Work, refuse
from ticks.data.batches import EVAL_BLOCK_ROWS, TensorRows
from ticks.data.dataset_files import Announce
from ticks.data.text_windows import TextWindows
from ticks.data.tokens import TOKENIZERS
from ticks.metrics.evaluation import RowEvaluation, make_metrics
from ticks.net_config import criterion_of
from ticks.objectives import LossSum
from ticks.reports import describe_evaluation


def evaluate_dataset(
    net: LoadedNet, artifacts: Path, file: DataFile, announce: Announce, *, drops_gaps: bool
) -> Work:
    """Return {"rows", "metrics": {"loss", …}, "confusion": {"classes", "matrix"}}.

    Metrics are those of a validation on these rows, in the same blocks; matrix[i][j] is
    the number of rows of class i that the net takes for class j. `drops_gaps`: rows that lack a
    value are left out. Raises RefusedRequest, DamagedDataset, or OSError.
    """
    require_form(net, file)
    path, total = locate(artifacts, file), file.rows or None
    for _ in check_file(path, file.sha256, announce):
        yield Progress(0, total)
    targets = TargetReader(net, file.parse_options)
    loss, sums = LossSum(criterion_of(net.config)), make_metrics(net.config)
    for block in _row_blocks(net, path, file, targets, drops_gaps=drops_gaps):
        outputs = _compute(net, block.inputs)
        loss.add(outputs, block.targets)
        sums.add(outputs, block.targets)
        yield Progress(sums.count, total)
    if not sums.count:
        raise refuse("/dataset", "one row or more without gaps")
    return _result(RowEvaluation(loss.mean, sums))


@torch.no_grad()
def _compute(net: LoadedNet, inputs: Tensor) -> Tensor:
    outputs: Tensor = net.network(inputs)
    return outputs


def _result(evaluation: RowEvaluation) -> JsonDict:
    """Return the result; a number that is not finite is None."""
    report = describe_evaluation(evaluation)
    result: JsonDict = {"rows": report["rows"], "metrics": report["metrics"]}
    if (matrix := report.get("confusion")) is not None:
        result["confusion"] = {"classes": report["classes"], "matrix": matrix}
    return result


def _row_blocks(
    net: LoadedNet, path: StoredPath, file: DataFile, targets: TargetReader, *, drops_gaps: bool
) -> Iterator[TensorRows]:
    """Return the rows of a dataset in the blocks of a validation."""
    if file.type == TEXT_TYPE:
        return _open_text(net, path, file).blocks()
    if file.type == NPZ_TYPE:
        return _join_blocks(_array_pieces(net, path, file, targets))
    target = net.config["target"]
    blocks = read_records(net.config, path, file, target, drops_gaps=drops_gaps)
    return _join_blocks(_encode_block(net, block, targets) for block in blocks)


def _join_blocks(pieces: Iterator[TensorRows]) -> Iterator[TensorRows]:
    """Yield the rows of pieces of any length in blocks of EVAL_BLOCK_ROWS or, at the end, fewer."""
    pending: TensorRows | None = None
    for piece in pieces:
        rows = piece
        if pending is not None:
            pairs = zip(pending, piece, strict=True)
            rows = TensorRows(*(torch.cat(pair) for pair in pairs))
        whole = len(rows.inputs) // EVAL_BLOCK_ROWS * EVAL_BLOCK_ROWS
        yield from rows.slice(0, whole).blocks()
        pending = rows.slice(whole, len(rows.inputs))
    if pending is not None and len(pending.inputs):
        yield pending


def _encode_block(net: LoadedNet, block: RecordBlock, targets: TargetReader) -> TensorRows:
    try:
        rows = net.module.encode(block.records)
    except (KeyError, ValueError):
        position, _, detail, value = next(net.module.find_faults(block.records))
        raise refuse("/dataset", f"row {block.numbers[position]}: {detail}", value) from None
    encoded = net.module.prepare(rows)
    return TensorRows(encoded, targets.read_cells(block.targets, block.numbers))


def _array_pieces(
    net: LoadedNet, path: StoredPath, file: DataFile, targets: TargetReader
) -> Iterator[TensorRows]:
    """Yield the rows of an NPZ file, whose two arrays come in pieces of other lengths."""
    inputs, values = (
        (row for piece in read_arrays(net, path, file, role) for row in piece)
        for role in ("inputs", "targets")
    )
    for first in range(0, file.rows, EVAL_BLOCK_ROWS):
        row_numbers = range(first + 1, min(first + EVAL_BLOCK_ROWS, file.rows) + 1)
        rows = torch.tensor(np.stack([next(inputs) for _ in row_numbers]))
        block_targets = np.stack([next(values) for _ in row_numbers])
        prepared = net.module.prepare(rows)
        yield TensorRows(prepared, targets.read_array(block_targets, row_numbers))


def _open_text(net: LoadedNet, path: StoredPath, file: DataFile) -> TextWindows:
    window, vocabulary = net.config["inputs"], net.config.get("vocabulary")
    assert file.text is not None, "the form has been checked"
    kind: Vocabulary = "bytes" if vocabulary is None else "characters"
    if vocabulary and (unknown := sorted(set(file.text.vocabulary) - set(vocabulary))):
        raise refuse("/dataset", "a text of the characters of the training text", unknown[:20])
    if not (count := file.text.count_rows(window, kind)):
        raise refuse("/dataset", f"a text of more than {window} tokens")
    tokens = TOKENIZERS[kind](path, file.text, vocabulary or [])
    return TextWindows(tokens, window, count, torch.device("cpu"))
