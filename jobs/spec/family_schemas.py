"""The model families as clients see them: description, objectives, schema of the config."""

from typing import Any

from pydantic import BaseModel, Field

from models.families import FAMILIES


class FamilyInfo(BaseModel):
    """A family of networks that a spec may name."""

    family: str
    description: str
    objectives: list[str]
    config: dict[str, Any] = Field(description="JSON Schema of its config")


def describe_families() -> list[FamilyInfo]:
    """Describe every family, by name."""
    return [
        FamilyInfo(
            family=family.name,
            description=family.description,
            objectives=list(family.objectives),
            config=family.config.model_json_schema(),
        )
        for _, family in sorted(FAMILIES.items())
    ]
