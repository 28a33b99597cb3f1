"""The body of a predict, and the rules between its fields and the net that is asked.

What can be told without the net itself is told here, before anything is queued.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from jobs.answers.row_checks import find_row_errors
from jobs.spec.base import MAX_SEED, DatasetId, FieldError, Float32, InvalidFields
from models.strict_models import LimitErrors, StrictModel
from models.strict_numbers import FINITE, INTEGRAL

MAX_ROWS = 10_000  # of one predict
MAX_RESULT_BYTES = 8 << 20  # of its result, estimated
NUMBER_BYTES = 24  # of a number in a result, with its comma
MAX_TOKENS = 4096  # that one prompt is continued by
MAX_PROMPT_CHARACTERS = 100_000
MAX_STOP_STRINGS, MAX_STOP_CHARACTERS = 16, 200
MAX_WAIT_SECONDS = 60.0
SUBJECTS = ("rows", "inputs", "prompt", "dataset")
PROMPT_OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "seed", "stop")
StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS), FINITE] | None
InputRow = Annotated[list[Float32], Field(min_length=1)]


class InvalidRequest(InvalidFields):
    """What is asked of a net does not fit it."""


class EvaluateRequest(StrictModel):
    """What to evaluate a net on."""

    dataset: DatasetId
    """The id of an uploaded dataset with the columns and the target of the training."""
    wait: Wait = None
    """Seconds to wait for the result, as the query parameter of this name."""


class PredictRequest(StrictModel):
    """What to predict: exactly one of `rows`, `inputs`, `prompt` and `dataset`."""

    rows: (
        Annotated[list[dict[str, Any]], Field(min_length=1), LimitErrors(max_items=MAX_ROWS)] | None
    ) = None
    """Rows of a table, {column: value}, written as in the file of the training or as the service
    shows its rows. Columns that the net does not read may be there too."""
    inputs: (
        Annotated[list[InputRow], Field(min_length=1), LimitErrors(max_items=MAX_ROWS, rows=True)]
        | None
    ) = None
    """Rows of numbers, as many as the net has inputs, in the units of the training data."""
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS)] | None = None
    """A text that a language model continues; it sees the last tokens, as many as its window."""
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS), INTEGRAL] = 200
    """How many tokens are added at most."""
    temperature: Annotated[float, Field(ge=0, le=100), FINITE] = 1.0
    """What the net's outputs are divided by before a token is drawn; 0 takes the likeliest."""
    top_k: Annotated[int, Field(ge=1, le=1_000_000), INTEGRAL] | None = None
    """Draw from this many likeliest tokens alone."""
    top_p: Annotated[float, Field(gt=0, le=1), FINITE] | None = None
    """Draw from the fewest likeliest tokens whose probabilities add up to this, or more."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), INTEGRAL] = 0
    """Of the draws: the same request gives the same text."""
    stop: Annotated[
        list[StopString],
        LimitErrors(max_items=MAX_STOP_STRINGS),
        Field(json_schema_extra={"maxItems": MAX_STOP_STRINGS}),
    ] = []
    """Texts at which it ends, the first that comes."""
    dataset: DatasetId | None = None
    """The id of an uploaded dataset with the columns that the net reads: its rows are predicted
    into a file."""
    wait: Wait = None
    """Seconds to wait for the result, as the query parameter of this name."""

    def to_request(self) -> dict[str, Any]:
        """Return what the answering process gets."""
        if self.prompt is None:
            return {"rows": self.rows} if self.rows is not None else {"inputs": self.inputs}
        return self.model_dump(include={"prompt", *PROMPT_OPTIONS})


def check_request(
    request: PredictRequest, config: Mapping[str, Any], other_columns: Collection[str]
) -> None:
    """Raise InvalidRequest with all errors of a request to the net of this config.json.

    `other_columns`: those that a row may have beside the columns that the net reads.
    """
    errors, left_out = list(_find_form_errors(request, config)), 0
    if not errors and request.rows is not None:
        errors, left_out = find_row_errors(request.rows, config, other_columns)
    if not errors:
        errors = list(_find_size_errors(request, config))
    if errors:
        raise InvalidRequest(errors, left_out)


def _find_form_errors(request: PredictRequest, config: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield errors of which fields are given, and of a prompt."""
    given = [name for name in SUBJECTS if getattr(request, name) is not None]
    if len(given) != 1:
        yield FieldError("", "exactly one of rows, inputs, prompt and dataset", given)
        return
    is_text = config["objective"] == "language_model"
    if is_text and given not in (["prompt"], ["dataset"]):
        rule = "left out: this net continues a text (prompt)"
        yield FieldError(f"/{given[0]}", rule, getattr(request, given[0]))
    elif given == ["prompt"] and not is_text:
        yield FieldError(
            "/prompt", "left out: this net reads rows (rows or inputs)", request.prompt
        )
    elif given == ["rows"] and "columns" not in config:
        rule = "inputs instead: the net was not trained on a table with named columns"
        yield FieldError("/rows", rule, request.rows)
    if given != ["prompt"]:
        for name in sorted(set(PROMPT_OPTIONS) & request.model_fields_set):
            yield FieldError(f"/{name}", "left out: an option of a prompt", getattr(request, name))
    if is_text and request.prompt is not None:
        yield from _find_unknown_characters(request.prompt, config.get("vocabulary"))
    if request.inputs is not None and not is_text:
        yield from _find_wrong_widths(request.inputs, config["inputs"])


def _find_unknown_characters(prompt: str, vocabulary: list[str] | None) -> Iterator[FieldError]:
    if vocabulary is not None and (unknown := set(prompt) - set(vocabulary)):
        first = next(at for at, character in enumerate(prompt) if character in unknown)
        rule = f"characters of the training text alone: character {first + 1} is none of them"
        yield FieldError("/prompt", rule, prompt[first])


def _find_wrong_widths(inputs: list[list[float]], width: int) -> Iterator[FieldError]:
    for at, row in enumerate(inputs):
        if len(row) != width:
            rule = f"a row of {width} numbers, as many as the net has inputs"
            yield FieldError(f"/inputs/{at}", rule, f"{len(row)} numbers")


def _find_size_errors(request: PredictRequest, config: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield the error of a result that would be too large."""
    if request.prompt is not None or request.dataset is not None:
        return
    name = "inputs" if request.rows is None else "rows"
    rows = len(getattr(request, name))
    names = config.get("classes") or [] if config["objective"] == "cross_entropy" else []
    row_bytes = config["outputs"] * NUMBER_BYTES + sum(len(text.encode()) + 4 for text in names)
    if rows * row_bytes > MAX_RESULT_BYTES:
        most = MAX_RESULT_BYTES // row_bytes
        rule = f"at most {most:,} rows of {config['outputs']:,} outputs at a time"
        yield FieldError(f"/{name}", rule, f"{rows:,} rows")
