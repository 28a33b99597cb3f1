"""The result of a verify: which recorded ticks were run again, and whether every bit was equal.

It is no proof; it says that bits were equal on an equal fingerprint. Values only.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _CertificateModel(BaseModel):
    model_config = ConfigDict(frozen=True, serialize_by_alias=True)


class Bits(_CertificateModel):
    """One value: its bits in hex, most significant byte first for a number, and decoded."""

    bits: str
    value: float | str | None = Field(
        None, description="the number (nan, inf and -inf as texts); null for a digest"
    )


class Difference(_CertificateModel):
    """The first value that differed; null where it is missing."""

    tick: int
    column: str = Field(
        description="a column of the history; or `data`, `validation_data`, `test_data`, "
        "`weights`: the sha256 of a file"
    )
    recorded: Bits | None
    recomputed: Bits | None


class Pair(_CertificateModel):
    """A digest as it was recorded and as it is now; null where it is not known."""

    recorded: str | None
    recomputed: str | None


class Fingerprints(_CertificateModel):
    """The fingerprint of the recorded ticks, and that of the verify."""

    recorded: dict[str, Any]
    run: dict[str, Any]


class Certificate(_CertificateModel):
    """Whether the bits were equal on an equal fingerprint, or where they first differed.

    One of an earlier build has no `damaged_files`: it looked at no file but the data's.
    """

    job_id: str = Field(description="the job whose ticks were run again")
    start: int = Field(
        alias="from", description="0: from the spec; else from the checkpoint of this tick"
    )
    to: int = Field(description="the last tick that was compared")
    ticks_compared: int
    columns: list[str] = Field(description="compared at every tick")
    sparse_columns: list[str] = Field(description="compared at their own ticks")
    points_compared: int = Field(description="values of sparse columns, digests not counted")
    digests_compared: int = Field(description="digests of the whole state")
    spec_sha256: str = Field(
        description="of the spec as a Job shows it: JSON in UTF-8, names sorted, no spaces"
    )
    data_sha256: Pair = Field(
        description="of the file with the data; of data that are in the spec or made from it, of "
        "`spec.data` as JSON"
    )
    validation_sha256: Pair | None = Field(description="the same of a second dataset, if any")
    test_sha256: Pair | None = Field(None, description="the same of a test's dataset, if any")
    history_sha256: dict[str, str] = Field(
        description="of each column's recorded values of the compared ticks, as the history's "
        "binary form sends them: float32, little-endian"
    )
    state: Pair = Field(description="the digest of weights and optimizer at `to`")
    weights_sha256: Pair = Field(description="of `model.safetensors` at `to`, if it was kept there")
    fingerprint: Fingerprints
    verdict: Literal["equal", "different", "damaged"] = Field(
        description="`damaged`: no bit was different, but `damaged_files` are not what was recorded"
    )
    first_difference: Difference | None
    damaged_files: list[str] = Field(
        default=[],
        description="below the job's folder; of the checkpoints at `from` and `to`, and of the "
        "history up to `to`, summary rows included. All of these are read",
    )
    started_at: str | None = None
    finished_at: str | None = None
