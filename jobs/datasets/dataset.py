"""A dataset as clients see it, and its record in the store. Sends no command."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from jobs.spec.dataset_binding import DataFile
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.profiles import Array, ColumnType, DatasetProfile, Delimiter, MediaType
from jobs.timestamps import format_rfc3339


class _DatasetModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetColumn(_DatasetModel):
    """A column of a table as clients see it."""

    name: str
    type: ColumnType
    min: float | None = Field(None, description="the least number; null for a category")
    max: float | None = Field(None, description="the greatest number; null for a category")
    distinct: int | None = Field(
        None, description="how many different values; null for more than 1,000 numbers"
    )
    classes: list[str] | None = Field(
        None, description="the values of a category, in the order of its inputs or outputs"
    )


class Dataset(_DatasetModel):
    """An uploaded dataset. Which of the last fields are set depends on its type."""

    id: str
    name: str
    type: MediaType
    delimiter: Delimiter | None = Field(None, description="of a CSV")
    sha256: str
    bytes: int
    created_at: str
    rows: int | None = Field(None, description="null for a text")
    columns: list[DatasetColumn] | None = Field(None, description="of a table")
    inputs: Array | None = Field(None, description="of an NPZ file")
    targets: Array | None = Field(None, description="of an NPZ file")
    characters: int | None = Field(None, description="of a text")
    vocabulary_size: int | None = Field(
        None, description="how many different characters a text has"
    )
    links: dict[str, str] = {}


class DatasetRecord(NamedTuple):
    """A dataset's record in the store: what clients see, and its profile, path and offsets."""

    dataset: Dataset
    profile: DatasetProfile
    path: str
    row_offsets: list[tuple[int, int]]

    @property
    def known_dataset(self) -> KnownDataset:
        """The dataset as checks of a spec see it."""
        dataset = self.dataset
        data_file = DataFile(
            path=self.path,
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
    text, url = profile.text, f"/v1/datasets/{fields['id']}"
    columns = [column.model_dump(exclude={"whole"}) for column in profile.columns or []]
    links = {"self": url, "content": f"{url}/content", "rows": f"{url}/rows"}
    if text is not None:
        del links["rows"]
    dataset = Dataset.model_validate(
        {
            **{name: fields[name] for name in ("id", "name", "type", "sha256")},
            "delimiter": fields["delimiter"] if fields["type"] == "text/csv" else None,
            "bytes": int(fields["bytes"]),
            "created_at": format_rfc3339(int(float(fields["created_ms"]))),
            "rows": profile.rows,
            "columns": columns or None,
            "inputs": profile.inputs,
            "targets": profile.targets,
            "characters": None if text is None else text.characters,
            "vocabulary_size": None if text is None else len(text.vocabulary),
            "links": links,
        }
    )
    row_offsets = [(int(row), int(offset)) for row, offset in json.loads(fields["marks"])]
    return DatasetRecord(dataset, profile, fields["path"], row_offsets)
