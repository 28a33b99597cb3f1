"""Runs what is written once, as coroutines, without an event loop: for the client that blocks.

Its transport waits in its calls and never gives control away, so a coroutine runs to its end at the
first step. Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def run(awaitable: Awaitable[T]) -> T:
    """Return the result of what a blocking transport serves; raise its exception."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return cast(T, end.value)
    raise RuntimeError(f"{awaitable!r} waits for an event loop")


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous iterator yields; it is closed when this one is."""
    try:
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(cast(AsyncGenerator[T, None], items).aclose())


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """Return a method that does what a coroutine method does, and returns its result."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(self, *args, **kwargs))

    return call


def blocking_iterator(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """Return a method that yields what an asynchronous generator method yields."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return iterate(method(self, *args, **kwargs))

    return call
