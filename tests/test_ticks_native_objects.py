"""Compiled objects are kept by their key, found again, checked, shared and bounded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native_runs import QUICK, needs_compiler
from tests.native_specs import make_trainer
from tests.support import ROOT
from tests.training_records import read_small_spec
from ticks.engines.native import cache, compiler
from ticks.engines.native.codegen import emit
from ticks.engines.native.compiler import FLAGS
from ticks.engines.native.engine import NativeEngine
from ticks.engines.native.signature import KernelSignature, signature_of
from ticks.engines.object_cache import DRAFT_PREFIX, EngineUnavailable, run_compiler, store

SMALL = {"model": {"family": "mlp", "hidden": [2], "norm": "none"}, "batch_size": 1,
         "optimizer": {"name": "sgd"}}  # fmt: skip


def form() -> KernelSignature:
    return signature_of(read_small_spec(**SMALL))


@needs_compiler
def test_an_object_is_compiled_once(tmp_path: Path) -> None:
    cache.load_kernel(form(), 1, tmp_path)
    (object_path,) = tmp_path.iterdir()
    first = object_path.stat().st_ino
    cache.load_kernel(form(), 1, tmp_path)

    assert [file.stat().st_ino for file in tmp_path.iterdir()] == [first]


@needs_compiler
def test_a_damaged_object_is_made_anew(tmp_path: Path) -> None:
    cache.load_kernel(form(), 1, tmp_path, QUICK)
    (object_path,) = tmp_path.iterdir()
    head = object_path.read_bytes()[:1000]
    object_path.unlink()  # this process has the whole one in its memory
    object_path.write_bytes(head)

    engine = NativeEngine(make_trainer(read_small_spec(**SMALL)), ["loss"], tmp_path, QUICK)

    assert engine.run(3).count == 3
    (again,) = tmp_path.iterdir()
    assert again.stat().st_size > 1000


@needs_compiler
def test_processes_may_make_one_object_at_a_time(tmp_path: Path) -> None:
    code = (
        "from tests.test_ticks_native_objects import *; from pathlib import Path;"
        f"cache.load_kernel(form(), 1, Path({str(tmp_path)!r}), QUICK)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) for _ in range(3)
    ]

    assert [process.wait(timeout=250) for process in started] == [0, 0, 0]
    assert all(file.suffix == ".so" for file in tmp_path.iterdir())
    assert cache.load_kernel(form(), 1, tmp_path, QUICK).run is not None


@needs_compiler
def test_the_longest_unused_objects_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_OBJECTS", 2)
    for age, name in enumerate(("new", "newer", "old")):
        (tmp_path / f"{name}.so").write_bytes(b"")
        os.utime(tmp_path / f"{name}.so", (1000 + age, 1000 + age - 10 * (name == "old")))

    cache.load_kernel(form(), 1, tmp_path, QUICK)

    names = {file.name for file in tmp_path.iterdir()}
    assert len(names) == 2 and "newer.so" in names


def test_an_object_key_covers_all_that_decides_the_code() -> None:
    source = emit(form())
    inputs = [
        (source, 1, "gcc", FLAGS), (source + " ", 1, "gcc", FLAGS), (source, 8, "gcc", FLAGS),
        (source, 1, "clang", FLAGS), (source, 1, "gcc", FLAGS[1:]),
    ]  # fmt: skip

    assert len({cache.key_of(*arguments) for arguments in inputs}) == len(inputs)


@needs_compiler
def test_the_processor_is_part_of_the_compiler_s_name() -> None:
    """An object made with -march=native must not be loaded by another kind of processor."""
    c_compiler = compiler.find_compiler()

    assert c_compiler is not None and compiler.processor_id() in c_compiler.identity


def test_without_a_compiler_there_is_no_native_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert compiler.find_compiler() is None
    with pytest.raises(EngineUnavailable, match="no C compiler"):
        cache.load_kernel(form(), 1, tmp_path)


def test_a_failing_compiler_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "cc-that-fails"
    lines = [
        "#!/bin/sh",
        '[ "$1" = --version ] && echo fake && exit 0',
        "echo broken >&2",
        "exit 1",
    ]
    fake.write_text("\n".join(lines))
    fake.chmod(0o700)
    monkeypatch.setenv("CC", str(fake))

    with pytest.raises(EngineUnavailable, match="broken"):
        cache.load_kernel(form(), 1, tmp_path / "objects")

    assert list((tmp_path / "objects").iterdir()) == []


def test_what_a_killed_compiler_left_is_removed_by_a_later_one_and_no_living_one_s(
    tmp_path: Path,
) -> None:
    left, living = tmp_path / f"{DRAFT_PREFIX}left", tmp_path / f"{DRAFT_PREFIX}living"
    for folder in (left, living):
        folder.mkdir()
    os.utime(left, (0, 0))

    def compile_into(target: Path) -> None:
        script = 'touch "$TMPDIR/draft.s"; echo object > "$2"'  # as a compiler does
        run_compiler(["sh", "-c", script, "sh"], target, "C", 10)

    compiled = store(tmp_path, "key", compile_into)
    assert set(tmp_path.iterdir()) == {living, compiled}
