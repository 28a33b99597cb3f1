"""What an upload's media type and query say of its bytes: their kind and options, or all faults."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from api.errors import Problem, error_entry
from api.schemas_datasets import UploadQuery
from jobs.datasets.formats.cells import MISSING_TOKENS
from jobs.spec.profiles import Header, MediaType, ParseOptions

CSV, TSV, NPZ = "text/csv", "text/tab-separated-values", "application/x-npz"
#: media type that is read as another one -> that one
ALIASES: dict[str, MediaType] = {
    TSV: "text/csv",
    "application/jsonl": "application/x-ndjson",
    "application/jsonlines": "application/x-ndjson",
}
KINDS: tuple[MediaType, ...] = get_args(MediaType)
MEDIA_TYPES = (*KINDS, *ALIASES)
TABLES = (CSV, "application/x-ndjson", "application/vnd.apache.parquet")
#: option -> the kinds of file that have it
OPTION_KINDS: dict[str, tuple[str, ...]] = {
    "delimiter": (CSV,),
    "header": (CSV,),
    "decimal": (CSV,),
    "thousands": (CSV,),
    "missing": TABLES,
    "inputs": (NPZ,),
    "targets": (NPZ,),
}


@dataclass(frozen=True)
class UploadFormat:
    """The kind of a file, and how its bytes are read."""

    kind: MediaType
    options: ParseOptions


def read_format(media_type: str, parameters: Mapping[str, str], query: UploadQuery) -> UploadFormat:
    """Return the format of a file of one of MEDIA_TYPES; `parameters` are the media type's.

    Raises Problem (400) with all faults.
    """
    kind: Any = ALIASES.get(media_type, media_type)
    options = query.model_dump(include=set(OPTION_KINDS), exclude_defaults=True)
    faults = [
        *_iter_unfit_options(media_type, kind, options),
        *_iter_header_faults(media_type, kind, parameters.get("header"), query.header),
        *_iter_contradictions(kind, query),
    ]
    if faults:
        first = faults[0].get("parameter") or faults[0]["header"]
        detail = f"{first}: {faults[0]['detail']}"
        raise Problem("invalid-parameter", detail, error_entries=faults)
    if media_type == TSV:
        options["delimiter"] = "tab"
    if "header" in parameters:
        options["header"] = parameters["header"].lower()
    options["missing"] = _further_tokens(query.missing)
    return UploadFormat(kind, ParseOptions.model_validate(options))


def _iter_unfit_options(
    media_type: str, kind: str, options: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Check options that are no default: those come from clients that send all parameters."""
    for name, value in options.items():
        kinds = OPTION_KINDS[name]
        if kind not in kinds:
            rule = f"left out for {media_type}: it is an option of {', '.join(kinds)} alone"
            yield error_entry("parameter", name, rule, value)
    if media_type == TSV and options.get("delimiter", "tab") != "tab":
        yield error_entry("parameter", "delimiter", f"tab for {TSV}", options["delimiter"])


def _iter_header_faults(
    media_type: str, kind: str, parameter: str | None, option: Header | None
) -> Iterator[dict[str, Any]]:
    """Check the media type's parameter `header` (RFC 4180) beside the query's."""
    if parameter is None:
        return
    if kind != CSV:
        yield error_entry("header", "Content-Type", f"no header= for {media_type}", parameter)
    elif parameter.lower() not in get_args(Header):
        yield error_entry("header", "Content-Type", "header=present or header=absent", parameter)
    elif option not in (None, parameter.lower()):
        rule = f"{parameter.lower()}, as Content-Type has it, or left out"
        yield error_entry("parameter", "header", rule, option)


def _iter_contradictions(kind: str, query: UploadQuery) -> Iterator[dict[str, Any]]:
    if kind == CSV and query.thousands == query.decimal:
        rule = f"another sign than decimal, which is {query.decimal}"
        yield error_entry("parameter", "thousands", rule, query.thousands)
    if kind == NPZ and query.inputs == query.targets:
        yield error_entry("parameter", "targets", "another array than inputs", query.targets)


def _further_tokens(tokens: list[str]) -> list[str]:
    """Return the tokens beside the documented ones, in one order: their order means nothing."""
    return sorted({token.strip() for token in tokens} - MISSING_TOKENS)
