"""The native engine's own exp, log, tanh, erf and logistic, against mpmath."""

import ctypes
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.native_runs import QUICK, needs_compiler
from ticks.engines.native import compiler
from ticks.engines.native.codegen import read_template

pytestmark = needs_compiler

Floats = NDArray[np.float32]
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, tuple[float, float]]] = {
    # name in c/functions.h: the truth, largest error in units in the last place, arguments
    "exponential": (mpmath.exp, 1.1, (-87, 88.7)),
    "logarithm": (mpmath.log, 1.0, (1e-30, 1e30)),
    "hyperbolic_tangent": (mpmath.tanh, 1.5, (-10, 10)),
    "error_function": (mpmath.erf, 1.5, (-5, 5)),
    "logistic": (lambda x: 1 / (1 + mpmath.exp(-x)), 2.5, (-85, 30)),
}
DOOR = """
#define DOOR(name) void door_##name(const float *x, float *y, int n) { \\
  for (int i = 0; i < n; i += WIDE) { \\
    vec a; memcpy(&a, x + i, sizeof a); a = name(a); memcpy(y + i, &a, sizeof a); } }
"""


@cache
def library() -> ctypes.CDLL:
    doors = "\n".join(f"DOOR({name})" for name in FUNCTIONS)
    c_compiler = compiler.find_compiler()
    assert c_compiler is not None
    with TemporaryDirectory() as place:
        source, library_path = Path(place) / "f.c", Path(place) / "f.so"
        source.write_text(read_template("lanes") + read_template("functions") + DOOR + doors)
        c_compiler.compile(source, library_path, 1, QUICK)
        return ctypes.CDLL(str(library_path))


def call(name: str, x: Floats) -> Floats:
    room = np.zeros(-(-len(x) // 8) * 8, np.float32)
    room[: len(x)] = x
    response = np.empty_like(room)
    pointers = (ctypes.c_void_p(array.ctypes.data) for array in (room, response))
    getattr(library(), f"door_{name}")(*pointers, len(room))
    return response[: len(x)]


def arguments(low: float, high: float) -> Floats:
    """Evenly over the range, evenly over the exponents, and near 0 and 1."""
    rng = np.random.default_rng(4)
    even = rng.uniform(low, high, 1500)
    sizes = np.exp(rng.uniform(np.log(1e-30), np.log(max(high, 2)), 1500))
    signs = rng.choice([-1, 1] if low < 0 else [1], 1500)
    near = 1 + rng.uniform(-0.5, 0.5, 1000)
    x = np.concatenate([even, sizes * signs, near]).astype(np.float32)
    return x[(x >= low) & (x <= high)]


def worst(name: str, wrong: float = 0.0) -> float:
    """The largest error of a function in units in the last place of the true value."""
    truth, _, (low, high) = FUNCTIONS[name]
    x = arguments(low, high)
    y = call(name, x) * np.float32(1 + wrong)
    true = [truth(mpmath.mpf(float(value))) for value in x]
    units = np.spacing(np.abs(np.array([float(value) for value in true]).astype(np.float32)))
    return max(
        abs(float(mpmath.mpf(float(got)) - t)) / float(u)
        for got, t, u in zip(y, true, units, strict=True)
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_within_its_stated_error(name: str) -> None:
    assert worst(name) <= FUNCTIONS[name][1]


def test_an_error_of_a_few_units_would_be_seen() -> None:
    assert worst("exponential", wrong=5e-7) > FUNCTIONS["exponential"][1]


def test_functions_keep_nan_and_have_the_right_limits() -> None:
    inf = np.inf
    x = np.array([np.nan, inf, -inf, 200, -200, 0], np.float32)
    expected = {
        "exponential": [np.nan, inf, 0, inf, 0, 1],
        "hyperbolic_tangent": [np.nan, 1, -1, 1, -1, 0],
        "error_function": [np.nan, 1, -1, 1, -1, 0],
        "logistic": [np.nan, 1, 0, 1, 0, 0.5],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(call(name, x), values, atol=1e-37, err_msg=name)
    x = np.array([np.nan, inf, 0, 1], np.float32)
    np.testing.assert_array_equal(call("logarithm", x), [np.nan, inf, -inf, 0])


def test_the_compiler_s_own_library_is_not_called() -> None:
    """Neither libm nor libmvec: their bits would be another machine's."""
    completed = subprocess.run(["nm", "-D", str(library()._name)], capture_output=True, text=True)

    assert not any(f" {name}f" in completed.stdout for name in ("exp", "log", "tanh", "erf"))
