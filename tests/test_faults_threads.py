"""The hunt for bits that depend on threads: a short form of `make threads`."""

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import pytest

from faults import threads
from faults.thread_specs import SPECS, make_spec
from models.families import FAMILIES
from models.types import Activation, Norm
from tests.needs import needs

CHILDREN = 40
#: of all specs the one whose trainers differed most often without the call, 2 to 10 of 100
MOST_TELLING = "mlp adamw rms gelu numbers"


@needs("gcc")
def test_40_forked_trainers_have_one_digest_as_on_an_intel_processor() -> None:
    with threads.fork_server(intel=True) as server:
        digests = threads.count_digests(server, MOST_TELLING, 2, CHILDREN)
    assert list(digests.values()) == [CHILDREN]


def test_the_specs_name_every_family_optimizer_precision_norm_and_activation() -> None:
    specs = [make_spec(name, 2) for name in SPECS]
    models = [spec["model"] for spec in specs]
    assert {model["family"] for model in models} == set(FAMILIES)
    assert {model["norm"] for model in models} == set(get_args(Norm))
    assert {model["activation"] for model in models} == set(get_args(Activation))
    assert {spec["optimizer"]["name"] for spec in specs} == {"sgd", "adam", "adamw"}
    assert {spec["compute"]["precision"] for spec in specs} == {"float32", "bfloat16"}
    assert {spec["objective"] for spec in specs} == {"mse", "cross_entropy", "language_model"}


def test_the_control_trains_without_the_call() -> None:
    with threads.fork_server(control=True) as server:
        assert threads.count_digests(server, "mlp sgd group relu numbers", 2, 1).total() == 1


@pytest.mark.parametrize(("counts", "code"), [({"a": 5}, 0), ({"a": 3, "b": 2}, 1)])
def test_one_digest_too_many_is_shown_and_ends_with_1(
    counts: dict[str, int],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(threads, "fork_server", lambda **_how: nullcontext(Path()))
    monkeypatch.setattr(threads, "count_digests", lambda *_what: Counter(counts))
    assert threads.main(["--threads", "2", "--only", "lm adamw layer gelu"]) == code
    row, last = capsys.readouterr().out.splitlines()[1:]
    assert row.split()[-3:] == (["2", "(3,", "2)"] if code else ["2", "5", "1"])
    assert last.startswith(f"5 trainers, {2 * code} differ")
