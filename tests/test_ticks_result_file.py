"""The file of a dataset's predictions: its lines, and bounds before and while it is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.answers.result_size import compute_max_bytes
from ticks.answers.result_file import (
    MAX_ERROR_BYTES,
    DiskFull,
    ResultFile,
    ResultTooLarge,
    cut_error,
    encode_line,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["é" * 40, '"\\' * 9, "\x01" * 9, "\x85\u2028\u2029", "𝄞" * 9]
)
#: what 32 bits may hold, and what a target's scale makes of it; not finite is null
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(
    -1e300, 1e300, allow_nan=False
)


@st.composite
def nets_with_lines(draw: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw a net's config.json, and lines that it may answer with."""
    rows = draw(st.lists(st.integers(1, 10**10), min_size=1, max_size=3))
    if draw(st.booleans()):
        names = draw(st.lists(TEXTS, min_size=2, max_size=4, unique=True))
        config = {"objective": "cross_entropy", "outputs": len(names), "classes": names}
        answers = [
            {
                "class": draw(st.sampled_from(names)),
                "probabilities": {name: draw(NUMBERS) for name in names},
            }
            for _ in rows
        ]
    else:
        outputs = draw(st.integers(1, 4))
        config = {"objective": "mse", "outputs": outputs}
        many = [{"values": [draw(NUMBERS) for _ in range(outputs)]} for _ in rows]
        answers = many if outputs > 1 else [{"value": draw(NUMBERS)} for _ in rows]
    error = {"error": cut_error(draw(TEXTS) * draw(st.integers(0, 40)))}
    lines = [{"row": row, **answer} for row, answer in zip(rows, answers, strict=True)]
    return config, [*lines, {"row": rows[0], **error}]


@settings(max_examples=150, deadline=None)
@given(drawn=nets_with_lines())
def test_no_line_is_longer_than_was_reckoned_and_each_is_a_line_of_utf8(
    drawn: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    config, lines = drawn
    written = b"".join(map(encode_line, lines))
    assert len(written) <= compute_max_bytes(len(lines), config)
    assert [json.loads(line) for line in written.decode().splitlines()] == lines


@given(text=TEXTS, times=st.integers(1, 40))
def test_a_long_error_is_told_by_its_beginning(text: str, times: int) -> None:
    cut = cut_error(text * times)
    assert len(encode_line({"": cut})) <= MAX_ERROR_BYTES + len('{"": ""}\n')
    if cut != text * times:
        assert cut.endswith("…") and (text * times).startswith(cut[:-1])
        assert len(encode_line({"": cut})) >= MAX_ERROR_BYTES - 6


def test_letters_are_written_as_such() -> None:
    assert encode_line({"row": 1, "class": "é𝄞"}) == '{"row": 1, "class": "é𝄞"}\n'.encode()


@pytest.mark.parametrize(
    ("max_bytes", "min_free_bytes", "error", "message"),
    [
        (30, 0, ResultTooLarge, "more than 30 bytes"),
        (10**6, 10**18, DiskFull, "are kept for what runs"),
    ],
)
def test_a_result_beyond_its_bound_or_the_disks_is_no_file(
    tmp_path: Path, max_bytes: int, min_free_bytes: int, error: type[Exception], message: str
) -> None:
    path = tmp_path / "result"
    with pytest.raises(error, match=message), ResultFile(path, max_bytes, min_free_bytes) as file:
        for _ in range(3):
            file.write([{"row": 1, "value": 0.5}])
    assert not path.exists()


def test_a_result_within_its_bound_is_whole_and_never_replaces_a_file(tmp_path: Path) -> None:
    line = {"row": 1, "value": 0.5}
    path, size = tmp_path / "result", len(encode_line(line))
    with ResultFile(path, 2 * size, 0) as file:
        file.write([line])
        file.write([line])
    assert path.read_bytes() == 2 * encode_line(line)
    with pytest.raises(FileExistsError), ResultFile(path, 1, 0):
        pass
    assert path.exists()
