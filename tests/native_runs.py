"""Helpers for the native engine: compiled objects of one run, and builds that must agree."""

import atexit
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from jobs.spec.job_spec import JobSpec
from tests.native_specs import make_trainer
from tests.needs import C_COMPILER, needs
from ticks.engines.chunk import Chunk
from ticks.engines.native.compiler import FLAGS
from ticks.engines.native.engine import NativeEngine
from ticks.state import state_digest
from ticks.trainer import Trainer

needs_compiler = needs(C_COMPILER)
QUICK = tuple("-O1" if flag == "-O3" else flag for flag in FLAGS)  # the same bits, sooner compiled
#: builds that must not differ in a bit
BUILDS = {
    "-O3 -march=native": FLAGS,
    "-O0": tuple(f for f in FLAGS if f not in ("-O3", "-march=native")),
    "-O2, the oldest processors": tuple("-O2" if f == "-O3" else f for f in FLAGS
                                        if f != "-march=native"),
}  # fmt: skip


@cache
def objects_folder() -> Path:
    """Return a folder for the objects of this run of the tests, removed at its end."""
    directory = Path(mkdtemp(prefix="native-objects-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def make_native(spec: JobSpec, flags: tuple[str, ...] = QUICK) -> NativeEngine:
    """Build a trainer of the spec with the native engine."""
    return NativeEngine(make_trainer(spec), spec.record, objects_folder(), flags)


def run_bits(trainer: Trainer, chunks: Sequence[Chunk]) -> tuple[bytes, str]:
    """Return all bits of a run: its columns', and the state's digest."""
    columns = [np.concatenate([c.columns[n] for c in chunks]) for n in chunks[0].columns]
    return b"".join(column.tobytes() for column in columns), state_digest(trainer)


def run_chunks(
    spec: JobSpec, lengths: Sequence[int], flags: tuple[str, ...] = QUICK
) -> tuple[bytes, str]:
    """Run chunks of these lengths and return all bits."""
    engine = make_native(spec, flags)
    return run_bits(engine.trainer, [engine.run(length) for length in lengths])
