"""What a dataset is to those who look at it, and its record in the store. Sends no command."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from jobs.record import rfc3339
from jobs.spec.datasets import Known
from jobs.spec.facts import Source
from jobs.spec.profiles import Array, ColumnType, DatasetProfile, Delimiter, MediaType


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetColumn(_Value):
    """A column of a table, or what is known of an array's values."""

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


class Dataset(_Value):
    """An uploaded dataset. Which of the last fields it has depends on its type."""

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


class Stored(NamedTuple):
    """A dataset's record: what is shown of it, and what is not."""

    sequence: int
    dataset: Dataset
    profile: DatasetProfile
    path: str
    marks: list[tuple[int, int]]

    @property
    def known(self) -> Known:
        """What a spec that names it is checked against."""
        about = self.dataset
        source = Source(
            path=self.path,
            sha256=about.sha256,
            bytes=about.bytes,
            type=about.type,
            delimiter=about.delimiter or "comma",
            rows=about.rows or 0,
            text=self.profile.text,
        )
        return Known(source, self.profile)


def read(record: Mapping[bytes, bytes]) -> Stored:
    """Read a whole record."""
    told = {name.decode(): value.decode() for name, value in record.items()}
    profile = DatasetProfile.model_validate_json(told["profile"])
    is_csv = told["type"] == "text/csv"
    here = f"/v1/datasets/{told['id']}"
    parts = ("content",) if profile.text else ("content", "rows")
    text = profile.text
    columns = [DatasetColumn(**column.model_dump(exclude={"whole"})) for column in
               profile.columns or []]  # fmt: skip
    dataset = Dataset.model_validate(
        {
            "id": told["id"],
            "name": told["name"],
            "type": told["type"],
            "delimiter": told["delimiter"] if is_csv else None,
            "sha256": told["sha256"],
            "bytes": int(told["bytes"]),
            "created_at": rfc3339(int(float(told["created_ms"]))),
            "rows": profile.rows,
            "columns": columns or None,
            "inputs": profile.inputs,
            "targets": profile.targets,
            "characters": None if text is None else text.characters,
            "vocabulary_size": None if text is None else len(text.vocabulary),
            "links": {"self": here, **{part: f"{here}/{part}" for part in parts}},
        }
    )
    marks = [(int(row), int(offset)) for row, offset in json.loads(told["marks"])]
    return Stored(int(told["seq"]), dataset, profile, told["path"], marks)
