"""A dataset as clients see it, and its record in the store. Sends no command."""

import json
from collections.abc import Mapping
from typing import NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field

from jobs.spec.dataset_binding import DataFile, DataPart, read_parts
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.profiles import (
    ColumnType,
    DatasetProfile,
    Delimiter,
    MediaType,
    Note,
    NpzArray,
    ParseOptions,
)
from jobs.timestamps import format_rfc3339


class _DatasetModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetColumn(_DatasetModel):
    """A column of a table as clients see it."""

    name: str
    type: ColumnType
    min: float | None = Field(
        None, description="the least number, or second since 1970 (UTC) of a datetime"
    )
    max: float | None = Field(None, description="the greatest number, or second since 1970")
    mean: float | None = Field(None, description="of the numbers, or seconds, of all rows")
    deviation: float | None = Field(None, description="their (biased) standard deviation")
    missing: int = Field(0, description="how many cells have no value")
    distinct: int | None = Field(
        None, description="how many different values, missing ones aside; null for more than 1,000"
    )
    classes: list[str] | None = Field(
        None, description="the values of a category, in the order of its inputs or outputs"
    )
    index: bool = Field(
        False, description="whether it is the nameless row index that a tool wrote beside the data"
    )


class DatasetPart(_DatasetModel):
    """One of the files that an appended dataset consists of."""

    sha256: str
    bytes: int


class Dataset(_DatasetModel):
    """An uploaded dataset. Which of the last fields are set depends on its type."""

    id: str
    name: str
    type: MediaType
    delimiter: Delimiter | None = Field(None, description="of a CSV")
    options: ParseOptions | None = Field(
        None, description="how the bytes are read, as said at the upload; null for a text"
    )
    sha256: str
    bytes: int
    created_at: str
    rows: int | None = Field(None, description="null for a text")
    columns: list[DatasetColumn] | None = Field(None, description="of a table")
    inputs: NpzArray | None = Field(None, description="of an NPZ file")
    targets: NpzArray | None = Field(None, description="of an NPZ file")
    characters: int | None = Field(None, description="of a text")
    vocabulary_size: int | None = Field(
        None, description="how many different characters a text has"
    )
    notes: list[Note] = Field([], description="what is doubtful, and what to do about it")
    parent: str | None = Field(None, description="what it was appended to; that may be deleted")
    parts: list[DatasetPart] | None = Field(
        None, description="of an appended one: its bytes are those of all parts, in this order"
    )
    links: dict[str, str] = {}


class DatasetRecord(NamedTuple):
    """A dataset's record in the store: what clients see, its profile, path, offsets and parts."""

    dataset: Dataset
    profile: DatasetProfile
    path: str
    row_offsets: list[tuple[int, int]]
    parts: list[DataPart]
    """One of a dataset that was uploaded, more of one that was appended to another."""

    @property
    def known_dataset(self) -> KnownDataset:
        """The dataset as checks of a spec see it."""
        dataset = self.dataset
        data_file = DataFile(
            path=self.path,
            parts=self.parts if len(self.parts) > 1 else [],
            sha256=dataset.sha256,
            bytes=dataset.bytes,
            type=dataset.type,
            delimiter=dataset.delimiter or "comma",
            options=self.profile.options,
            rows=dataset.rows or 0,
            text=self.profile.text,
        )
        return KnownDataset(data_file, self.profile)


def parse_dataset(record: Mapping[bytes, bytes]) -> DatasetRecord:
    """Parse a dataset's hash in the store."""
    fields = {name.decode(): value.decode() for name, value in record.items()}
    profile = DatasetProfile.model_validate_json(fields["profile"])
    delimiter = cast(Delimiter, fields["delimiter"])  # a record of before has it here alone
    options = profile.options.model_copy(update={"delimiter": delimiter})
    text, url = profile.text, f"/v1/datasets/{fields['id']}"
    shown = set(DatasetColumn.model_fields)
    columns = [column.model_dump(include=shown) for column in profile.columns or []]
    parts = read_parts(fields)
    links = {"self": url, "content": f"{url}/content", "rows": f"{url}/rows"}
    if text is not None:
        del links["rows"]
    dataset = Dataset.model_validate(
        {
            **{name: fields[name] for name in ("id", "name", "type", "sha256")},
            "delimiter": fields["delimiter"] if fields["type"] == "text/csv" else None,
            "options": None if text is not None else options,
            "bytes": int(fields["bytes"]),
            "created_at": format_rfc3339(int(float(fields["created_ms"]))),
            "rows": profile.rows,
            "columns": columns or None,
            "inputs": profile.inputs,
            "targets": profile.targets,
            "characters": None if text is None else text.characters,
            "vocabulary_size": None if text is None else len(text.vocabulary),
            "notes": profile.notes,
            "parent": fields.get("parent"),
            "parts": [part.model_dump(include={"sha256", "bytes"}) for part in parts]
            if len(parts) > 1
            else None,
            "links": links,
        }
    )
    row_offsets = [(int(row), int(offset)) for row, offset in json.loads(fields["marks"])]
    return DatasetRecord(dataset, profile, fields["path"], row_offsets, parts)
