"""tickforge predict, generate and evaluate: ask the net of a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from tickforge_client import formatting
from tickforge_client.commands.common import (
    CommonOptions,
    byte_printer,
    dataset_argument,
    echo,
    job_argument,
    pass_common,
    print_json,
    print_lines,
)
from tickforge_client.commands.row_files import DELIMITERS, KINDS, read_rows

DATASET_ID = re.compile(r"ds_[a-z0-9]{26}")
checkpoint_option = click.option(
    "--checkpoint", "which", default="latest", metavar="TICK",
    help="tick, or initial, latest, best, final [latest]",
)  # fmt: skip


@click.command()
@job_argument
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False))
@checkpoint_option
@click.option("--type", "kind", type=click.Choice(KINDS), help="of FILE [by suffix or content]")
@click.option("--delimiter", type=click.Choice([*DELIMITERS]), help="of a CSV [comma]")
@click.option(
    "--header",
    type=click.Choice(["present", "absent"]),
    default="present",
    help="whether a CSV's first row names its columns; absent: c1, c2, ... [present]",
)
@pass_common
def predict(
    common: CommonOptions,
    job_id: str,
    file: Path,
    *,
    which: str,
    kind: str | None,
    delimiter: str | None,
    header: str,
) -> int:
    """Predict the rows of FILE with the net of a job's checkpoint.

    FILE is .csv, .tsv, or .jsonl (or .json, a list), also gzip'd (.gz); - reads one of them from
    standard input. Prints a CSV with a line for each row: the class and its probability, or the
    value. With --json all probabilities. The id of an uploaded dataset (ds_…) in the place of FILE
    predicts its rows.
    """
    if DATASET_ID.fullmatch(str(file)):
        return _predict_dataset(common, job_id, str(file), which)
    rows = read_rows(file, kind=kind, delimiter=delimiter, has_header=header == "present")
    with common.client() as client:
        predictions = client.job(job_id).predict(rows, which)
    if common.json:
        print_json(predictions)
    elif predictions:
        _print_csv(predictions)
    return 0


@click.command()
@job_argument
@dataset_argument
@checkpoint_option
@pass_common
def evaluate(common: CommonOptions, job_id: str, dataset_id: str, which: str) -> int:
    """Evaluate the net of a job's checkpoint on an uploaded DATASET: its metrics, and the confusion
    of classes.
    """
    with common.client() as client:
        result = client.job(job_id).evaluate(dataset_id, which)
    if common.json:
        print_json(result)
        return 0
    print_lines(formatting.key_value_lines({"rows": f"{result['rows']:,}"}))
    for name, value in result["metrics"].items():
        echo(f"{name}  {formatting.number_text(value)}")
    if confusion := result["confusion"]:
        classes = confusion["classes"]
        rows = [[name, *counts] for name, counts in zip(classes, confusion["matrix"], strict=True)]
        print_lines(formatting.table_lines(["true \\ predicted", *classes], rows))
    return 0


@click.command()
@job_argument
@click.argument("prompt")
@checkpoint_option
@click.option("--max-tokens", type=click.IntRange(1), default=200, help="at most so many [200]")
@click.option("--temperature", type=click.FloatRange(0), default=1.0, help="0: the likeliest [1]")
@click.option("--top-k", type=click.IntRange(1), help="draw from so many likeliest tokens")
@click.option("--top-p", type=click.FloatRange(0, 1), help="draw from those with this probability")
@click.option("--seed", type=click.IntRange(0), default=0, help="of the draws [0]")
@click.option("--stop", multiple=True, help="a text at which it ends (repeatable)")
@pass_common
def generate(common: CommonOptions, job_id: str, prompt: str, which: str, **options: Any) -> int:
    """Continue the text PROMPT with the language model of a job's checkpoint."""
    options["stop"] = list(options["stop"])
    with common.client() as client:
        text = client.job(job_id).generate(prompt, which, **options)
    common.print_result({"text": text}, text)
    return 0


def _predict_dataset(common: CommonOptions, job_id: str, dataset_id: str, which: str) -> int:
    with common.client() as client:
        job = client.job(job_id).predict_dataset(dataset_id, which)
        write = byte_printer()
        for piece in job.result_pieces("application/x-ndjson" if common.json else "text/csv"):
            write(piece)
    return 0


def _print_csv(predictions: list[dict[str, Any]]) -> None:
    echo(",".join(_columns(predictions[0])))
    for prediction in predictions:
        echo(",".join(map(_cell, _cells(prediction))))


def _columns(first: dict[str, Any]) -> list[str]:
    if "class" in first:
        return ["class", "probability"]
    if "value" in first:
        return ["value"]
    return [f"value_{number}" for number, _ in enumerate(first["values"], 1)]


def _cells(prediction: dict[str, Any]) -> list[Any]:
    if "class" in prediction:
        return [prediction["class"], prediction["probabilities"].get(prediction["class"])]
    return [prediction["value"]] if "value" in prediction else list(prediction["values"])


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    needs_quotes = any(character in text for character in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text
