"""The service's log: one line an entry, whatever was written by others stands in it."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from jobs import logs

#: what ends a line or steers a terminal: C0, DEL, C1, line separators, directions
STEERING = [
    *map(chr, range(32)),
    *map(chr, range(127, 160)),
    *"\u2028\u2029\u202e\u2066\ufeff",
]
TEXT = "".join(f"x{char}" for char in STEERING) + "2026-01-01T00:00:00Z [info] forged"


class Odd:
    """An object whose repr is raw."""

    def __repr__(self) -> str:
        return TEXT


def raised() -> Exception:
    try:
        raise ValueError(TEXT)
    except ValueError as error:
        return error


ENTRIES: list[Callable[[Any], None]] = [
    lambda log: log.info(TEXT),
    lambda log: log.info("request", path=TEXT),
    lambda log: log.info("request", **{TEXT: 1}),
    lambda log: log.info("request", names=[TEXT], odd=Odd(), data=TEXT.encode(errors="replace")),
    lambda log: log.error("failed", error=repr(raised()), exc_info=raised()),
    lambda log: logs.get_logger("x", job=TEXT).warning("bound"),
    lambda log: logging.getLogger("a.library").warning("it says %s", TEXT),
    lambda log: logging.getLogger("a.library").error("failed", exc_info=raised()),
]


@pytest.mark.parametrize("write", ENTRIES)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_in_an_entry_begins_a_line_or_steers_a_terminal(
    configure_logging: Callable[[str], None],
    log_format: str,
    write: Callable[[Any], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging(log_format)
    capfd.readouterr()
    write(logs.get_logger("api"))
    shown = capfd.readouterr().err
    assert {char for char in shown if not char.isprintable()} == {"\n"}
    first, *more = shown.removesuffix("\n").split("\n")
    assert all(line.startswith("    ") for line in more)
    if log_format == "json":
        assert not more and isinstance(json.loads(first), dict)


def test_half_of_a_surrogate_pair_is_written_as_its_escape(
    configure_logging: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("text")
    logs.get_logger("api").info("request", path="x\ud800y")
    assert "x\\ud800y" in capfd.readouterr().err
