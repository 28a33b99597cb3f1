"""Proofs: which programs of the graph engine were compared with eager on this machine, and agreed.

A proof is a file in the user's cache folder. Its name is a digest of all that the outcome of the
comparison depends on, and its content says what was compared, with a digest of its own. A file that
does not hold exactly what is looked for is removed and proves nothing. A proof is no permission to
compute something else: a program is always traced from the job at hand.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from ticks import optimizers
from ticks.engines import object_cache
from ticks.engines.graph import build_loop
from ticks.engines.object_cache import EngineUnavailable

#: a program is proven once so many of its ticks were compared, in one job or in several
PROOF_TICKS = 8
#: one job in so many is compared with eager although its programs are proven
RETRIAL_PERIOD = 20
MAX_PROOFS = 4096  # of some 300 bytes; the least recently used are removed first
USE_SECONDS = 3600.0  # that the use of a proof may be recorded late
FOLDER, SUFFIX = "proofs", ".json"
#: what computes a program's numbers and seeds, and calls it
CODE_FILES = (*sorted(build_loop.SOURCE.parent.glob("*.py")), Path(optimizers.__file__))
_CODE = hashlib.sha256(b"".join(file.read_bytes() for file in CODE_FILES)).hexdigest()[:16]


class ProofContext(NamedTuple):
    """What a proof holds for beside the program: engine, code, loop, torch, threads and canary.

    `engine` is the engine's identity, `code` the digest of the Python that calls the loop, `loop`
    of the compiled loop's file, `canary` this machine's for this number of threads.
    """

    engine: str
    code: str
    loop: str
    torch: str
    threads: int
    canary: str


def current_context(engine: str, canary: str) -> ProofContext:
    """Return the context of this process; raises EngineUnavailable without a compiled loop."""
    loop = build_loop.find_or_compile().stem.rpartition("-")[2]
    return ProofContext(engine, _CODE, loop, torch.__version__, torch.get_num_threads(), canary)


def is_retrial_due(job: str) -> bool:
    """Return whether a job is compared with eager whatever is proven: a function of its id."""
    return int(hashlib.sha256(job.encode()).hexdigest()[:8], 16) % RETRIAL_PERIOD == 0


class Proofs:
    """The proofs of one context. What the disk refuses is not proven, and raises nothing.

    A program is named by its identity (`LoadedProgram.identity`).
    """

    def __init__(self, context: ProofContext, folder: Path | None = None) -> None:
        self._context = context
        self._folder = folder or build_loop.default_folder() / FOLDER

    def covers(self, programs: Collection[str]) -> bool:
        """Return whether there are programs, and every one is proven."""
        counts = (self._count_ticks(program) for program in programs)
        return bool(programs) and all(count >= PROOF_TICKS for count in counts)

    def add(self, programs: Mapping[str, int]) -> None:
        """Record that so many ticks of each program agreed with eager bit for bit."""
        for program, ticks in programs.items():
            with contextlib.suppress(EngineUnavailable), object_cache.cache_folder(self._folder):
                total = min(PROOF_TICKS, self._count_ticks(program) + ticks)
                # a file that is half written proves nothing
                self._path(program).write_bytes(self._content(program, total))
        with contextlib.suppress(EngineUnavailable), object_cache.cache_folder(self._folder):
            object_cache.evict(self._folder, f"*{SUFFIX}", MAX_PROOFS)

    def discard(self, programs: Collection[str]) -> None:
        """Remove the proofs of programs."""
        for program in programs:
            with contextlib.suppress(OSError):
                self._path(program).unlink(missing_ok=True)

    def _count_ticks(self, program: str) -> int:
        """Return how many ticks of a program are recorded, at most PROOF_TICKS."""
        path, counts = self._path(program), range(PROOF_TICKS, 0, -1)
        try:
            with object_cache.cache_folder(self._folder):
                content = path.read_bytes() if path.is_file() else b""
                ticks = next((n for n in counts if self._content(program, n) == content), 0)
                if not ticks:
                    path.unlink()
        except EngineUnavailable:  # no such file, or a folder that is not ours
            return 0
        with contextlib.suppress(OSError):  # a folder that cannot be written proves no less
            if time.time() - path.stat().st_mtime > USE_SECONDS:
                os.utime(path)  # it is in use
        return ticks

    def _path(self, program: str) -> Path:
        return self._folder / (hashlib.sha256(self._record(program)).hexdigest()[:32] + SUFFIX)

    def _record(self, program: str, **more: int) -> bytes:
        return json.dumps({**self._context._asdict(), "program": program, **more}).encode()

    def _content(self, program: str, ticks: int) -> bytes:
        record = self._record(program, ticks=ticks)
        return record + b"\n" + hashlib.sha256(record).hexdigest().encode() + b"\n"


class JobProofs:
    """What is proven for the programs of one job: nothing without `proofs`.

    `is_retried`: the job's programs are compared whatever is proven.
    """

    def __init__(self, proofs: Proofs | None = None, *, is_retried: bool = False) -> None:
        self._proofs, self._is_retried = proofs, is_retried

    def covers(self, programs: Collection[str]) -> bool:
        """Return whether these programs may run without being compared."""
        return self._proofs is not None and not self._is_retried and self._proofs.covers(programs)

    def add(self, programs: Mapping[str, int]) -> bool:
        """Record that so many ticks of each program agreed; return whether all are proven now."""
        if self._proofs is None:
            return False
        self._proofs.add(programs)
        return self._proofs.covers(programs)

    def discard(self, programs: Collection[str]) -> str:
        """Throw the proofs of programs away, one of which differs; return a remark on it."""
        if self._proofs is None or not programs:
            return ""
        was_proven = self._proofs.covers(programs)
        self._proofs.discard(programs)
        return "its proof is thrown away" if was_proven else ""
