"""An upload's file as it comes in: its format, its name and its bytes, out of a form and gzip."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from flask import Request
from werkzeug.http import parse_options_header

from api.errors import bad_header
from api.gzip_body import decode_gzip, refuse_gzip
from api.multipart_body import FilePart, read_file_part
from api.schemas_datasets import MAX_NAME_CHARACTERS, UploadQuery
from api.upload_body import UploadStream, check_media_type, read_content_encoding
from api.upload_format import MEDIA_TYPES, UploadFormat, read_format
from jobs.spec.profiles import MediaType, ParseOptions

FORM = "multipart/form-data"
UPLOAD_MEDIA_TYPES = (*MEDIA_TYPES, FORM)
GZIP_ENCODINGS = ("gzip", "x-gzip")  # RFC 9110 has both names
#: media type of a form's file by the suffix of its name
SUFFIXES = {
    ".csv": "text/csv",
    ".data": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
    ".npz": "application/x-npz",
    ".parquet": "application/vnd.apache.parquet",
}
GZIP_SUFFIX = ".gz"


@dataclass(frozen=True)
class UploadSource:
    """The file of a request. Its pieces come once, decoded, and raise Problem."""

    format: UploadFormat
    name: str
    pieces: Iterator[bytes]
    known_bytes: int = 0  # of the decoded file, as far as the head of the request tells


def open_source(request: Request, query: UploadQuery, max_bytes: int) -> UploadSource:
    """Open the file of a request whose media type is one of UPLOAD_MEDIA_TYPES.

    Reads nothing but the head of a form. Raises Problem (400, 413, 415, 422).
    """
    if request.mimetype == FORM:
        return _open_form(request, query, max_bytes)
    upload_format = read_format(request.mimetype, request.mimetype_params, query)
    is_gzip = read_content_encoding(request, GZIP_ENCODINGS) is not None
    body = UploadStream(request, max_bytes=max_bytes, is_wrapped=is_gzip)
    way_out = "send Content-Encoding: gzip with them"
    pieces = decode_gzip(body) if is_gzip else refuse_gzip(body, way_out)
    known_bytes = 0 if is_gzip else request.content_length or 0
    return UploadSource(upload_format, query.name, pieces, known_bytes)


def open_append(
    request: Request, kind: MediaType, options: ParseOptions, name: str, max_bytes: int
) -> UploadSource:
    """Open the file of a request that adds rows to a dataset of this kind, read as that one was.

    Raises Problem as `open_source` does; 415 for another kind of file, 400 for another form of it.
    """
    source = open_source(request, UploadQuery(name=name), max_bytes)
    sent = source.format
    if sent.kind != kind:
        rule = f"{kind}, as the dataset that is appended to"
        raise bad_header("unsupported-media-type", "Content-Type", rule, sent.kind)
    for option in ("delimiter", "header"):  # what a media type can say
        value, sent_value = getattr(options, option), getattr(sent.options, option)
        if sent_value not in (value, getattr(ParseOptions(), option)):
            rule = f"{option} {value}, as the dataset that is appended to"
            raise bad_header("invalid-parameter", "Content-Type", rule, sent_value)
    return replace(source, format=UploadFormat(kind, options))


def _open_form(request: Request, query: UploadQuery, max_bytes: int) -> UploadSource:
    read_content_encoding(request)
    boundary = request.mimetype_params.get("boundary")
    if not boundary or not boundary.isascii():
        rule = f"{FORM} with its boundary"
        raise bad_header("invalid-parameter", "Content-Type", rule, request.content_type)
    body = UploadStream(request, max_bytes=max_bytes, is_wrapped=True)
    part = read_file_part(body, boundary)
    filename = PurePosixPath(part.filename.replace("\\", "/")).name
    upload_format = _read_part_format(part, filename, query)
    name = query.name or filename[:MAX_NAME_CHARACTERS]
    way_out = f"give the file a name that ends in {GZIP_SUFFIX}"
    is_gzip = filename.lower().endswith(GZIP_SUFFIX)
    pieces = decode_gzip(part.pieces) if is_gzip else refuse_gzip(part.pieces, way_out)
    return UploadSource(upload_format, name, pieces)


def _read_part_format(part: FilePart, filename: str, query: UploadQuery) -> UploadFormat:
    """Return the format by the part's Content-Type if that is one of ours, else by the suffix."""
    media_type, parameters = parse_options_header(part.content_type)
    media_type = media_type.lower()
    if media_type in MEDIA_TYPES:
        check_media_type(part.content_type, MEDIA_TYPES, "texts in UTF-8")
        return read_format(media_type, parameters, query)
    suffix = PurePosixPath(filename.lower().removesuffix(GZIP_SUFFIX)).suffix
    if suffix not in SUFFIXES:
        types, suffixes = ", ".join(MEDIA_TYPES), ", ".join(SUFFIXES)
        rule = f"of the form's file one of {types}; or a file name that ends in one of {suffixes}"
        value = f"{part.content_type or 'no type'}, {filename or 'no name'}"
        raise bad_header("unsupported-media-type", "Content-Type", rule, value)
    return read_format(SUFFIXES[suffix], parameters, query)
