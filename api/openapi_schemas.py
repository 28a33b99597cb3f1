"""The schemas of the published document: made from models, with what generators of clients need."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    models_json_schema,
)
from pydantic_core import core_schema

SCHEMA_REF = "#/components/schemas/{model}"
SCHEMA_NAME_PATTERN = re.compile(re.escape(SCHEMA_REF).replace(r"\{model\}", r"(\w+)"))
ModelAndMode = tuple[type[BaseModel], JsonSchemaMode]
SchemaRefs = Mapping[Any, dict[str, Any]]  # (model, mode) -> reference


class SchemaGenerator(GenerateJsonSchema):
    """Writes schemas as pydantic does, but with `items` for the items of a tuple.

    They have no item beyond `prefixItems`, so it allows nothing more. Not false, which would say
    the same: some linters and generators read only a schema there.
    """

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Return the schema of a tuple."""
        described = super().tuple_schema(schema)
        if "prefixItems" in described and "items" not in described:
            kinds: list[JsonSchemaValue] = []
            kinds += (item for item in described["prefixItems"] if item not in kinds)
            described["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        return described


def describe_models(models: Iterable[ModelAndMode]) -> tuple[SchemaRefs, dict[str, Any]]:
    """Return references to the schemas of these models, and all schemas by name."""
    refs, definitions = models_json_schema(
        sorted(models, key=str), ref_template=SCHEMA_REF, schema_generator=SchemaGenerator
    )
    return refs, definitions["$defs"]


def select_reachable(paths: object, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas that the paths refer to; excluded fields leave unused ones behind."""
    reachable: dict[str, Any] = {}
    pending = _schema_names(paths)
    while pending:
        reachable |= {name: definitions[name] for name in pending}
        inner_names = {inner for name in pending for inner in _schema_names(definitions[name])}
        pending = inner_names - reachable.keys()
    return reachable


def add_discriminators(node: object, definitions: dict[str, Any]) -> None:
    """Add to each union of named schemas the constant field that tells its branches apart.

    The field becomes required in each of them, also where a request may leave it out for the
    default branch: generators of clients take the first branch that fits, and without the field
    several do.
    """
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for item in children:
        add_discriminators(item, definitions)
    if not isinstance(node, dict) or not (branches := [*_schema_names(node.get("oneOf", []))]):
        return
    constants = {name: _constant_fields(definitions[name]) for name in branches}
    for field in sorted(set.intersection(*map(set, constants.values()))):
        mapping = {fields[field]: name for name, fields in constants.items()}
        if len(mapping) < len(branches):
            continue
        for name in branches:
            _require(definitions[name], field)
        refs = {tag: SCHEMA_REF.format(model=mapping[tag]) for tag in sorted(mapping)}
        node["discriminator"] = {"propertyName": field, "mapping": refs}


def _require(schema: dict[str, Any], field: str) -> None:
    schema["properties"][field].pop("default", None)
    if field not in (required := schema.setdefault("required", [])):
        required.insert(0, field)


def _constant_fields(schema: dict[str, Any]) -> dict[str, str]:
    """Return the fields that have a constant value, with that value."""
    fields = schema.get("properties", {})
    return {name: field["const"] for name, field in fields.items() if "const" in field}


def _schema_names(node: object) -> set[str]:
    return set(SCHEMA_NAME_PATTERN.findall(json.dumps(node)))
